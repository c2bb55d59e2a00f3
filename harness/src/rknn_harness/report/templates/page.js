"use strict";
const each = (selector, action) => document.querySelectorAll(selector).forEach(action);
const say = document.getElementById("say");
document.documentElement.classList.add("scripted");

function button(text, name, click) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.className = name;
  made.addEventListener("click", click);
  return made;
}

async function copy(command, pressed) {
  try {
    await navigator.clipboard.writeText(command.textContent);
  } catch {
    getSelection().selectAllChildren(command);
    document.execCommand("copy");
  }
  pressed.textContent = "Copied";
  say.textContent = "Command copied.";
  setTimeout(() => { pressed.textContent = "Copy"; say.textContent = ""; }, 2000);
}
each(".command pre", command => {
  const made = button("Copy", "copy", () => copy(command, made));
  made.setAttribute("aria-label", "Copy the command");
  command.after(made);
});

const table = document.getElementById("list");
if (table) {
  const form = document.getElementById("filter"), open = document.getElementById("open");
  const cases = [...table.tBodies], heads = [...table.tHead.rows[0].cells];
  const details = body => body.querySelector("details");

  const filter = () => {
    const text = form.text.value.trim().toLowerCase();
    const names = [...form.querySelectorAll("select")].map(select => select.name);
    let shown = 0;
    for (const body of cases) {
      body.hidden = !(names.every(name => !form[name].value || body.dataset[name] === form[name].value)
        && body.textContent.toLowerCase().includes(text));
      shown += !body.hidden;
    }
    document.getElementById("shown").textContent = `${shown} of ${cases.length} cases shown`;
  };
  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", event => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  open.addEventListener("click", () => {
    const shown = cases.filter(body => !body.hidden).map(details), all = shown.some(one => !one.open);
    shown.forEach(one => { one.open = all; });
    open.textContent = all ? "Close all" : "Open all";
  });
  filter();

  const key = (body, column) => {
    const cell = body.rows[0].cells[column];
    return cell.dataset.sort ?? cell.textContent.trim();
  };
  heads.forEach((head, column) => {
    const made = button(head.textContent, "", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign < 0 ? "descending" : "ascending");
      const compare = head.classList.contains("n")
        ? (one, two) => key(one, column) - key(two, column)
        : (one, two) => key(one, column).localeCompare(key(two, column), "en", { numeric: true });
      cases.sort((one, two) => sign * compare(one, two));
      table.append(...cases);
    });
    head.replaceChildren(made);
  });

  const arrive = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!cases.includes(target)) return;
    if (target.hidden) { form.reset(); target.hidden = false; }
    details(target).open = true;
    target.scrollIntoView();
    target.querySelector("summary").focus({ preventScroll: true });
  };
  addEventListener("hashchange", arrive);
  document.addEventListener("click", event => {
    const link = event.target.closest("a[href^='#']");
    if (link && link.getAttribute("href") === location.hash) arrive();
  });
  arrive();
}
addEventListener("beforeprint", () => each("details.fold", fold => { fold.open = true; }));
