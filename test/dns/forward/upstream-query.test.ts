import assert from "node:assert/strict";
import { test } from "node:test";
import { askedOf, matchAnswer, upstreamQuery } from "../../../src/dns/forward/upstream-query.ts";
import { decode, query } from "../wire.ts";

const asked = query("OrDers.example.org", { id: 5 });
const ours = upstreamQuery(askedOf(asked, asked.length, false), 5, true);
const sent = decode(ours).questions[0]?.name ?? "";
const theirs = (name: string, id: number, flags = 0x8580) => query(name, { id, flags });
const matches: readonly (readonly [title: string, message: Buffer, want: string])[] = [
  ["accepts the answer", theirs(sent, 5), "yes"],
  ["wants the ID", theirs(sent, 6), "no"],
  ["wants the name", theirs("others.example.org", 5), "no"],
  [
    "notices another case",
    theirs(
      sent.replace(/./, (c) => (c === "o" ? "O" : "o")),
      5,
    ),
    "case",
  ],
  ["wants the type", query(sent, { id: 5, flags: 0x8580, type: 28 }), "no"],
  ["wants an answer, not a query", theirs(sent, 5, 0x0100), "no"],
  ["wants the opcode", theirs(sent, 5, 0xa580), "no"],
  ["wants one question", query(sent, { id: 5, flags: 0x8580, counts: [0, 0, 0, 0] }), "no"],
  ["wants a whole message", theirs(sent, 5).subarray(0, 20), "no"],
];

for (const [title, message, want] of matches) {
  test(`matchAnswer() ${title} (RFC 5452 §9.1)`, () => assert.equal(matchAnswer(ours, message), want));
}
