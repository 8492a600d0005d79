/* What moves on the book's pages. Everything here is also there without it: pictures open as files, code unfolds by hand. */
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  // A click on a figure shows it as wide as the window.
  document.querySelectorAll("a.enlarge").forEach((link) => {
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || !window.HTMLDialogElement) return;
      event.preventDefault();
      const dialog = document.createElement("dialog");
      dialog.className = "enlarged";
      dialog.setAttribute("aria-label", "Enlarged figure");
      const close = document.createElement("button");
      close.textContent = "Close";
      const picture = link.querySelector("img").cloneNode();
      picture.removeAttribute("class");
      picture.removeAttribute("width");
      picture.removeAttribute("height");
      dialog.append(close, picture);
      dialog.addEventListener("click", () => dialog.close());
      dialog.addEventListener("close", () => { dialog.remove(); link.focus(); });
      document.body.append(dialog);
      dialog.showModal();
    });
  });

  // A link to the code of a figure unfolds it.
  const unfold = () => {
    const target = location.hash.startsWith("#code-") && document.getElementById(location.hash.slice(1));
    const details = target && target.querySelector("details");
    if (details) details.open = true;
  };
  window.addEventListener("hashchange", unfold);
  unfold();

  // The ledger shows what is asked for; the address keeps it.
  const ledger = document.querySelector(".ledger");
  if (!ledger) return;
  const filter = document.querySelector(".ledger-filter");
  const choices = [...filter.querySelectorAll("select")];
  const status = filter.querySelector("[role=status]");
  const claims = [...ledger.querySelectorAll("article")];
  const guess = filter.querySelector("[name=guess]");
  const asked = new URLSearchParams(location.search);
  guess.checked = asked.has("guess");
  choices.forEach((choice) => {
    const wanted = asked.get(choice.name);
    if (wanted && [...choice.options].some((option) => option.value === wanted)) choice.value = wanted;
  });
  const show = () => {
    let shown = 0;
    claims.forEach((claim) => {
      const fits = choices.every((choice) => !choice.value || claim.dataset[choice.name].split(" ").includes(choice.value));
      claim.hidden = !fits;
      shown += fits;
    });
    ledger.classList.toggle("guess", guess.checked);
    ledger.querySelectorAll("section").forEach((part) => { part.hidden = ![...part.querySelectorAll("article")].some((claim) => !claim.hidden); });
    status.textContent = `${shown} of ${claims.length} claims`;
  };
  filter.hidden = false;
  filter.addEventListener("change", () => {
    const address = new URL(location.href);
    choices.forEach((choice) => { if (choice.value) address.searchParams.set(choice.name, choice.value); else address.searchParams.delete(choice.name); });
    if (guess.checked) address.searchParams.set("guess", "1"); else address.searchParams.delete("guess");
    try { history.replaceState(null, "", address); } catch (error) { /* a page from disk may keep its address */ }
    show();
  });
  show();
});
