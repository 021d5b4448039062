import { describe, expect, test } from "vitest";
import { readLocation } from "../../../src/probe/arrival/location.ts";

describe("where a message is to arrive", () => {
  const imap = {
    kind: "imap",
    host: "mail.example.net",
    port: 993,
    implicitTls: true,
    user: "probe",
    folder: "INBOX",
  };
  test.each([
    ["imaps://probe@mail.example.net", imap],
    [
      "imaps://probe%40example.net@mail.example.net:1993/Some/Folder",
      { ...imap, user: "probe@example.net", port: 1993, folder: "Some/Folder" },
    ],
    ["imap://probe@mail.example.net/", { ...imap, port: 143, implicitTls: false }],
    ["maildir:/home/probe/Maildir", { kind: "maildir", directory: "/home/probe/Maildir" }],
    ["lmtp://127.0.0.1:2424", { kind: "listener", protocol: "lmtp", host: "127.0.0.1", port: 2424 }],
    ["smtp://[::1]:2525", { kind: "listener", protocol: "smtp", host: "::1", port: 2525 }],
  ])("%s", (text, expected) => {
    expect(readLocation(text, "--arrive")).toEqual(expected);
  });

  test.each([
    ["", /^--arrive: "" is none of its forms; expected imaps:/],
    ["maildir:", /no directory is named/],
    ["imaps://mail.example.net", /no user is named/],
    ["smtp://127.0.0.1", /no port is named/],
    ["https://mail.example.net", /https: is none of its forms/],
    ["imaps://a%zz@mail.example.net", /has a wrong percent sign/],
  ])("%j is told to be wrong", (text, expected) => {
    expect(() => readLocation(text, "--arrive")).toThrow(expected);
  });

  test("never shows a password that was put there", () => {
    for (const text of ["imaps://probe:hunter2@mail.example.net", "imaps://probe:hunter2@[nowhere"]) {
      expect(() => readLocation(text, "--arrive")).toThrow();
      expect(() => readLocation(text, "--arrive")).not.toThrow(/hunter2/);
    }
  });
});
