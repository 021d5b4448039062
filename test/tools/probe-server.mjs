/**
 * The probe, started once for thousands of command lines: it takes them over a UNIX socket, one at a time, and gives
 * back what they printed and their exit status. Each finds its own variables, folder and standard streams in `process`.
 *
 *     node probe-server.mjs SOCKET BUILT-FOLDER
 *
 * Both ways a list of strings, each behind its length as a 32-bit number. There: folder, standard input, number of
 * words, words, variables. Back: exit status, standard output, error output.
 */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pathToFileURL } from "node:url";

const [, , path = "", built = ""] = process.argv;
const { run } = await import(pathToFileURL(join(built, "main.js")).href).then(({ main }) => ({ run: main }));

/** @param {string} file where it writes */
function stream(file) {
  const fd = openSync(file, "w+");
  return {
    fd,
    write: (/** @type {string | Uint8Array} */ text, done = () => {}) => {
      const octets = Buffer.from(text);
      for (let at = 0; at < octets.length; ) at += writeSync(fd, octets, at);
      done();
      return true;
    },
    on: () => undefined,
    once: () => undefined,
    end() {
      closeSync(fd);
      return readFileSync(file);
    },
  };
}

/** @param {readonly Buffer[]} fields */
async function answer([folder = Buffer.alloc(0), input = Buffer.alloc(0), count, ...rest]) {
  const words = rest.slice(0, Number(count)).map(String);
  const variables = rest.slice(Number(count)).map((one) => /^([^=]*)=(.*)$/s.exec(String(one)) ?? []);
  process.chdir(String(folder));
  const [stdout, stderr] = [stream(`${path}.out`), stream(`${path}.err`)];
  const stdin = Object.assign(Readable.from(input.length > 0 ? [input] : []), { ref() {}, unref() {} });
  const saved = { env: process.env, exitCode: process.exitCode };
  process.env = Object.fromEntries(variables.map(([, name = "", value = ""]) => [name, value]));
  for (const [name, value] of Object.entries({ stdin, stdout, stderr }))
    Object.defineProperty(process, name, { value, configurable: true });
  let status = 70;
  try {
    status = await run(["probe", ...words]);
  } catch (error) {
    stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  }
  Object.assign(process, saved);
  return [Buffer.from(String(status)), stdout.end(), stderr.end()];
}

/** @param {Buffer} octets */
function fieldsOf(octets) {
  const fields = [];
  for (let at = 0; at < octets.length; ) {
    const length = octets.readUInt32BE(at);
    fields.push(octets.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return fields;
}

/** @type {Promise<unknown>} */
let before = Promise.resolve();

createServer({ allowHalfOpen: true }, (socket) => {
  /** @type {Buffer[]} */
  const chunks = [];
  socket.on("data", (chunk) => chunks.push(chunk));
  socket.on("end", () => {
    before = before.then(async () => {
      const back = await answer(fieldsOf(Buffer.concat(chunks)));
      const lengths = back.map(({ length }) => {
        const octets = Buffer.alloc(4);
        octets.writeUInt32BE(length);
        return octets;
      });
      socket.end(Buffer.concat(back.flatMap((field, at) => [lengths[at] ?? Buffer.alloc(0), field])));
    });
  });
}).listen(path);
