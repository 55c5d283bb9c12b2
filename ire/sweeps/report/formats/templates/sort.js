// A click on a column's head sorts the table: numbers by size, words alphabetically; a second click reverses the order.
function sortable(table) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells], original = [...body.rows];
  const value = (row, i) => {
    const text = row.cells[i].textContent.trim(), found = text.replace(/^[≥≤?<>~+]+/, "").match(/^-?\d+(\.\d+)?(e[+-]?\d+)?/i);
    return { text, number: found ? parseFloat(found[0]) : NaN, empty: text === "-" || text === "" };
  };
  heads.forEach((head, i) => head.querySelector("button")?.addEventListener("click", () => {
    const order = { ascending: "descending", descending: null }[head.getAttribute("aria-sort")] ?? "ascending";
    const back = head.getAttribute("aria-sort") === "descending";
    heads.forEach(each => each.removeAttribute("aria-sort"));
    if (back) return body.append(...original);
    head.setAttribute("aria-sort", order);
    const rows = original.map(row => [row, value(row, i)]), numbers = !head.classList.contains("text");
    const sign = order === "ascending" ? 1 : -1;
    rows.sort(([, a], [, b]) => {
      if (a.empty !== b.empty) return a.empty ? 1 : -1;  // unknown values stay at the end
      if (numbers && a.number !== b.number) return Number.isNaN(a.number) ? 1 : Number.isNaN(b.number) ? -1 : sign * (a.number - b.number);
      return sign * a.text.localeCompare(b.text);
    });
    body.append(...rows.map(([row]) => row));
  }));
}
