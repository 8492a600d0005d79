// What scrolls sideways can be reached and scrolled by keyboard, but only while it does.
(() => {
  const places = '.bd-article figure, .bd-article div.math, .bd-article table.table, .bd-article pre, .bd-article div.cell_output, .bd-article div.output';
  const look = () => {
    for (const place of document.querySelectorAll(places)) {
      const style = getComputedStyle(place);
      const wide = place.scrollWidth > place.clientWidth + 1 && /auto|scroll/.test(style.overflowX);
      const set = place.hasAttribute('data-scrolls');
      if (wide && !set) {
        place.setAttribute('data-scrolls', '');
        if (!place.hasAttribute('tabindex')) place.tabIndex = 0;
        if (!/^(table|pre)$/i.test(place.tagName)) place.classList.add('scrolls');
      } else if (!wide && set) {
        place.removeAttribute('data-scrolls');
        place.removeAttribute('tabindex');
        place.classList.remove('scrolls');
      }
    }
  };
  let waiting = 0;
  const soon = () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(look); };
  addEventListener('load', () => {
    soon();
    const article = document.querySelector('.bd-article');  // its width changes after that of the window, as side bars fold
    if (article) new ResizeObserver(soon).observe(article);
  });
  addEventListener('resize', soon);
  document.addEventListener('toggle', soon, true);
})();
