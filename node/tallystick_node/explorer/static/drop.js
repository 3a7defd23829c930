// A file that is chosen, or dropped on the field, is what the field holds then.
(() => {
  const field = document.querySelector("textarea[data-drop]");
  const chosen = document.getElementById("file");
  const take = async (file) => {
    if (file) field.value = await file.text();
  };
  document.getElementById("file-field").hidden = false;
  chosen.addEventListener("change", () => take(chosen.files[0]));
  field.addEventListener("dragover", (event) => event.preventDefault());
  field.addEventListener("drop", (event) => {
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    take(event.dataTransfer.files[0]);
  });
})();
