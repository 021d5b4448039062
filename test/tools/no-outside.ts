/** Before each file of unit tests: whoever starts a process, listens or connects is not one. */
import { ChildProcess } from "node:child_process";
import { Server, Socket } from "node:net";

function forbid(prototype: object, name: string): void {
  Object.defineProperty(prototype, name, {
    value: () => {
      throw new Error(`a unit test uses ${name}(); test/tools/unit-files.ts tells which tests may`);
    },
  });
}

forbid(ChildProcess.prototype, "spawn");
forbid(Server.prototype, "listen");
forbid(Socket.prototype, "connect");
