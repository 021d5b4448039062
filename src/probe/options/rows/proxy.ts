/** Options for the header that a load balancer would send (the PROXY protocol of HAProxy). */
import type { Row } from "../row.ts";

const filled = /^.+$/;

export const proxy = [
  {
    name: "proxy",
    group: "proxy",
    argument: "wanted",
    placeholder: "TEXT|@FILE|base64:TEXT",
    prompt: { text: "PROXY string: ", pattern: filled },
    file: true,
    help: "The header as it stands, with or without its beginning (the word PROXY, or the signature of version 2).",
    example: '-t bob@example.org -s mail.example.org --proxy "TCP4 192.0.2.7 192.0.2.25 40000 25"',
  },
  {
    name: "proxy-version",
    group: "proxy",
    argument: "wanted",
    placeholder: "1|2",
    prompt: { text: "PROXY version: ", pattern: /^[12]$/ },
    standard: "1",
    help: "The version of the header.",
    example:
      "-t bob@example.org -s mail.example.org --proxy-version 2 --proxy-family AF_INET --proxy-source 192.0.2.7 --proxy-source-port 40000 --proxy-dest 192.0.2.25 --proxy-dest-port 25",
  },
  {
    name: "proxy-family",
    group: "proxy",
    argument: "wanted",
    placeholder: "TCP4|AF_INET|…",
    prompt: { text: "PROXY family: ", pattern: filled },
    help: "TCP4 or TCP6; in version 2 AF_INET, AF_INET6, AF_UNIX or AF_UNSPEC.",
    example:
      "-t bob@example.org -s mail.example.org --proxy-family TCP4 --proxy-source 192.0.2.7 --proxy-source-port 40000 --proxy-dest 192.0.2.25 --proxy-dest-port 25",
  },
  {
    name: "proxy-source",
    group: "proxy",
    argument: "wanted",
    placeholder: "ADDRESS",
    prompt: { text: "PROXY source: ", pattern: filled },
    help: "The client's address.",
    example:
      "-t bob@example.org -s mail.example.org --proxy-family TCP4 --proxy-source 192.0.2.7 --proxy-source-port 40000 --proxy-dest 192.0.2.25 --proxy-dest-port 25",
  },
  {
    name: "proxy-source-port",
    group: "proxy",
    argument: "wanted",
    placeholder: "PORT",
    prompt: { text: "PROXY source_port: ", pattern: filled },
    help: "The client's port.",
    example:
      "-t bob@example.org -s mail.example.org --proxy-family TCP4 --proxy-source 192.0.2.7 --proxy-source-port 40000 --proxy-dest 192.0.2.25 --proxy-dest-port 25",
  },
  {
    name: "proxy-dest",
    group: "proxy",
    argument: "wanted",
    placeholder: "ADDRESS",
    prompt: { text: "PROXY dest: ", pattern: filled },
    help: "The address that the client connected to.",
    example:
      "-t bob@example.org -s mail.example.org --proxy-family TCP4 --proxy-source 192.0.2.7 --proxy-source-port 40000 --proxy-dest 192.0.2.25 --proxy-dest-port 25",
  },
  {
    name: "proxy-dest-port",
    group: "proxy",
    argument: "wanted",
    placeholder: "PORT",
    prompt: { text: "PROXY dest_port: ", pattern: filled },
    help: "The port that the client connected to.",
    example:
      "-t bob@example.org -s mail.example.org --proxy-family TCP4 --proxy-source 192.0.2.7 --proxy-source-port 40000 --proxy-dest 192.0.2.25 --proxy-dest-port 25",
  },
  {
    name: "proxy-protocol",
    group: "proxy",
    argument: "wanted",
    placeholder: "STREAM|…",
    prompt: { text: "PROXY protocol: ", pattern: filled },
    standard: "STREAM",
    help: "STREAM, DGRAM or UNSPEC, in version 2.",
    example:
      "-t bob@example.org -s mail.example.org --proxy-family AF_INET --proxy-source 192.0.2.7 --proxy-source-port 40000 --proxy-dest 192.0.2.25 --proxy-dest-port 25 --proxy-version 2 --proxy-protocol STREAM",
  },
  {
    name: "proxy-command",
    group: "proxy",
    argument: "wanted",
    placeholder: "PROXY|LOCAL",
    prompt: { text: "PROXY command: ", pattern: filled },
    standard: "PROXY",
    help: "PROXY or LOCAL, in version 2.",
    example:
      "-t bob@example.org -s mail.example.org --proxy-family AF_INET --proxy-source 192.0.2.7 --proxy-source-port 40000 --proxy-dest 192.0.2.25 --proxy-dest-port 25 --proxy-version 2 --proxy-command LOCAL",
  },
] as const satisfies readonly Row[];
