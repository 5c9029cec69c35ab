// The rows of a served index are fetched again every few seconds.
const EVERY_MILLISECONDS = 4000;
async function refreshIndex() {
  try {
    const answer = await fetch("./", { cache: "no-store" });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    listings().forEach((table) => {
      const other = fresh.getElementById(table.id);
      if (other && other.tBodies[0].innerHTML !== table.dataset.seen) {
        table.dataset.seen = other.tBodies[0].innerHTML;
        table.tBodies[0].replaceWith(other.tBodies[0]);
        sortTable(table);
      }
    });
    byId("data").textContent = fresh.getElementById("data").textContent;
    document.querySelector(".facts").replaceWith(fresh.querySelector(".facts"));
    addBoxes();
    filterRows();
    if (!byId("comparison").hidden) compareStudies();
  } catch {
    // the server is gone or busy: the next try tells
  }
  setTimeout(refreshIndex, EVERY_MILLISECONDS);
}
setTimeout(refreshIndex, EVERY_MILLISECONDS);
