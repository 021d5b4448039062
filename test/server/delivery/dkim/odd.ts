/** Messages whose form a signer may get wrong. */
import { message } from "../fixtures.ts";

export const head = "From: user1@example.org\r\nTo: a@example.net\r\nSubject: hi\r\n";

/** Odd, but as a client may submit it. */
export const odd: readonly (readonly [name: string, text: string])[] = [
  ["plain", message],
  ["no body", `${head}\r\n`],
  ["no empty line behind the header", head],
  ["a body of empty lines", `${head}\r\n\r\n\r\n \t\r\n\r\n`],
  ["empty lines at the end", `${head}\r\ntext\r\n\r\n \r\n\t\r\n`],
  ["empty lines in the middle", `${head}\r\n\r\n\r\none\r\n\r\n\r\ntwo\r\n`],
  ["no line end at the end", `${head}\r\ntext`],
  ["blanks at the end, and no line end", `${head}\r\ntext \t`],
  ["blanks everywhere", `${head}\r\n  one\t\t two \t\r\n\tthree  \r\n \r\n`],
  ["dots", `${head}\r\n.\r\n..\r\n.dot\r\n`],
  [
    "fields folded in every way",
    "FROM :\r\n\tuser1@example.org\r\nSubject:a\r\n b\r\n \t\r\n c \t \r\nTo:  \r\n\r\nx\r\n",
  ],
  ["a subject without text", "From: user1@example.org\r\nSubject:\r\nTo: \r\n\r\nx\r\n"],
  ["many fields of one name", `${head}${"Cc: b@example.net\r\n".repeat(30)}\r\nx\r\n`],
  [
    "resent and from a list",
    `Resent-From: user1@example.org\r\nResent-To: c@example.net\r\nList-Id: <l.example.org>\r\nList-Unsubscribe: <https://example.org/u>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nSender: x@example.org\r\n${head}\r\nx\r\n`,
  ],
  [
    "octets above 127",
    `From: =?utf-8?q?J?= <user1@example.org>\r\nSubject: gr\xc3\xbc\xc3\x9fe \r\n\r\ncaf\xe9 \xa0\r\n`,
  ],
  ["a line that is long", `${head}\r\n${"x ".repeat(40_000)}\r\n`],
  ["a word that is long", `${head}\r\n${"x".repeat(40_000)}\r\n${"y".repeat(16_384)} z\r\n`],
  ["lines without end", `${head}\r\n${"\r\n".repeat(9_000)}`],
  ["lines without end, and a word", `${head}\r\n${"\r\n".repeat(9_000)}x`],
  ["lines without end between words", `${head}\r\nx${"\r\n".repeat(8_192)}x${"\r\n".repeat(4_096)}`],
  [
    "somebody else's signature",
    `DKIM-Signature: v=1; a=rsa-sha256; c=simple; d=example.net; s=z;\r\n h=From; bh=eA==; b=eA==\r\n${head}\r\nx\r\n`,
  ],
];
