import { expect, test } from "vitest";
import { requested } from "../../../src/commands/ssh/session.ts";
import { Failure } from "../../../src/failure.ts";

test.each([
  ["", "smtp"],
  ["smtp", "smtp"],
  ["sendmail -bs", "smtp"],
  ["/usr/sbin/sendmail -i -f a@example.org b@example.net", "message"],
  ["sendmail -oem -oi -- 'b@example.net'", "message"],
])("%j is %s", (words, mode) => {
  expect(requested(words).mode).toBe(mode);
});

test("words are not a shell's", () => {
  expect(requested("sendmail $(id) `id` a;b").recipients).toEqual(["$(id)", "`id`", "a;b"]);
});

test.each([
  "sh",
  "bash -i",
  "/bin/sh -c id",
  "smtp extra",
  "internal-sftp",
  "scp -t /tmp",
  "sendmail; id",
  "sendmail -bp",
  "sendmail -q",
  "sendmail -bi",
  "sendmail -C /etc/passwd a@example.net",
  "sendmail -t; id",
  "sendmail -bd",
  "../../sendmail/../sh",
  "\nsendmail",
])("%j is refused", (words) => {
  expect(() => requested(words)).toThrow(Failure);
});
