// Files from the user's disk to the server: the picker, drag and drop (folders too), and one upload with its progress. And the order
// in which values and events reach the server.
window.medsr = (() => {
  const set = (name, value) => window.trame && window.trame.state.set(name, value);
  const names = { percent: "LibraryState__upload_percent", message: "LibraryState__message" }; // as library_ui.py has them

  function send(files) {
    if (!files.length) return;
    const form = new FormData();
    for (const { file, path } of files) form.append("file", file, path);
    const request = new XMLHttpRequest();
    request.open("POST", "upload");
    request.upload.onprogress = (e) => set(names.percent, e.lengthComputable ? Math.max(1, (100 * e.loaded) / e.total) : 1);
    request.onloadend = () => {
      set(names.percent, 0);
      if (request.status === 200) return;
      let text = "The upload was cut off; try again, or give the file's path.";
      try { text = JSON.parse(request.responseText).error; } catch (e) { /* not our answer: keep the general sentence */ }
      set(names.message, text);
    };
    set(names.message, "");
    set(names.percent, 1);
    request.send(form);
  }

  function pick(folder) {
    const input = document.createElement("input");
    Object.assign(input, { type: "file", multiple: true, webkitdirectory: folder });
    input.onchange = () => send([...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name })));
    input.click();
  }

  const fileOf = (entry) => new Promise((done, fail) => entry.file(done, fail));
  const listOf = (reader) => new Promise((done, fail) => reader.readEntries(done, fail));

  async function walk(entry, found) {
    if (entry.isFile) return void found.push({ file: await fileOf(entry), path: entry.fullPath.slice(1) });
    const reader = entry.createReader();
    for (let some = await listOf(reader); some.length; some = await listOf(reader)) for (const one of some) await walk(one, found);
  }

  async function drop(event) {
    event.preventDefault();
    document.body.classList.remove("medsr-dragging");
    // Files are taken at once: after the first await the event holds nothing. Only folders need to be walked.
    const files = [...event.dataTransfer.items].filter((item) => item.kind === "file");
    const dropped = files.map((item) => ({ file: item.getAsFile(), entry: item.webkitGetAsEntry && item.webkitGetAsEntry() }));
    const found = [];
    for (const { file, entry } of dropped) {
      if (entry && entry.isDirectory) await walk(entry, found);
      else if (file) found.push({ file, path: file.name });
    }
    send(found);
  }

  let depth = 0;
  const holdsFiles = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  window.addEventListener("dragenter", (e) => { if (holdsFiles(e) && ++depth) document.body.classList.add("medsr-dragging"); });
  window.addEventListener("dragleave", (e) => { if (holdsFiles(e) && --depth <= 0) { depth = 0; document.body.classList.remove("medsr-dragging"); } });
  window.addEventListener("dragover", (e) => { if (holdsFiles(e)) e.preventDefault(); });
  window.addEventListener("drop", (e) => { depth = 0; if (holdsFiles(e)) drop(e).catch(() => set(names.message, "What was dropped cannot be read; give its path instead.")); });

  // trame keeps what was typed or chosen back while an earlier event is under way, but not the next event, which would then meet
  // old values on the server: a path not yet there, the option before. Events wait here until the values have gone.
  function sendValuesFirst(trame) {
    const plain = trame.trigger;
    trame.trigger = async (...event) => {
      while (trame.state.dirtyKeys.size && trame.client.isConnected()) {
        await trame.state.flush();
        if (trame.state.dirtyKeys.size) await new Promise((done) => setTimeout(done, 5));
      }
      return plain(...event);
    };
  }

  const waiting = setInterval(() => {
    if (!window.trame) return;
    clearInterval(waiting);
    sendValuesFirst(window.trame);
  }, 20);

  return { pick };
})();
