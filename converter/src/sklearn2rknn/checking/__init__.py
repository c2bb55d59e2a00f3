"""What the converter checks a built file by: error bounds, and answers beside scikit-learn's."""
