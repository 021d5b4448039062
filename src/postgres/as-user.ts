/**
 * A Unix socket, as another user than root: a server that knows its users by their processes (peer authentication) asks the
 * system who has connected. So a process of that user connects, and passes on what comes; this one stays root's.
 */
import { spawn } from "node:child_process";
import { Socket } from "node:net";

/** The words that run these as that user. */
export type WordsAs = (words: readonly string[]) => readonly [string, ...string[]];

/** Connected to the socket `path` when it emits "connect", as a socket of Node.js does after connect(), which is not to be called. */
export function connectAs(wordsAs: WordsAs, path: string): Socket {
  const [program, ...words] = wordsAs([process.execPath, "--input-type=commonjs", "--eval", passOn, path]);
  const child = spawn(program, words, { stdio: ["ignore", "ignore", "ignore", "pipe"], cwd: "/" });
  const [, , , pipe] = child.stdio;
  if (!(pipe instanceof Socket)) throw new Error("a pipe of a child is no socket");
  child.on("error", (error) => pipe.destroy(error));
  child.unref();
  return Object.assign(pipe, {
    connect() {
      setImmediate(() => pipe.emit("connect"));
      return pipe;
    },
  });
}

/** The child's program: what comes at descriptor 3 goes to the socket, and back. It ends with either. */
const passOn = `
const { connect, Socket } = require("node:net");
const here = new Socket({ fd: 3, readable: true, writable: true });
const there = connect(process.argv[1]);
for (const [from, to] of [[here, there], [there, here]]) {
  from.pipe(to);
  from.on("error", () => to.destroy());
  from.on("close", () => to.destroySoon());
}`;
