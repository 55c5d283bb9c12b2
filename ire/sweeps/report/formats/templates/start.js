document.querySelectorAll("table.sorts").forEach(sortable);
document.documentElement.classList.add("scripted");
const FIGURES = JSON.parse(document.getElementById("figures").textContent);
document.querySelectorAll("figure[data-live]").forEach(figure => liveFigure(figure, FIGURES[figure.dataset.live]));
if (matchMedia("(max-width: 74.99rem)").matches) document.querySelector("nav details")?.removeAttribute("open");
