// The theme's two sidebars are landmarks of one kind: each needs a name of its own.
document.querySelector(".sidebar-drawer")?.setAttribute("aria-label", "Pages of the site");
document.querySelector(".toc-drawer")?.setAttribute("aria-label", "Contents of the page");
