import assert from "node:assert/strict";
import { test } from "node:test";
import { escapedText, isSeen, plainText } from "../src/text.ts";

/** What a terminal obeys, or nobody sees. */
const unseen: Readonly<Record<string, string>> = {
  "a colour": "\u001b[31m",
  "a title": "\u001b]0;title\u0007",
  "a carriage return": "\r",
  "C1's CSI": "\u009b2J",
  "a next line": "\u0085",
  DEL: "\u007f",
  NUL: "\u0000",
  "a right-to-left override": "\u202e",
  "an isolate": "\u2066",
  "an Arabic letter mark": "\u061c",
  "a left-to-right mark": "\u200e",
  "a zero-width space": "\u200b",
  "a zero-width joiner": "\u200d",
  "a byte order mark": "\ufeff",
  "a soft hyphen": "\u00ad",
  "a separator of lines": "\u2028",
  "a separator of paragraphs": "\u2029",
  "a tag of plane 14": "\u{e0041}",
  "a Hangul filler": "\u3164",
  "a lone surrogate": "\ud800",
};
for (const [name, text] of Object.entries(unseen)) {
  test(`plainText() takes out ${name}`, () => {
    const plain = plainText(`a${text}b`, 100, "?");
    assert.match(plain, /^a\?.*b$/);
    assert.ok(isSeen(plain));
  });

  test(`escapedText() writes ${name} as JSON does, which is the same value`, () => {
    const value = { text: `a${text}b`, list: [text] };
    const escaped = escapedText(JSON.stringify(value, null, 2));
    assert.ok(isSeen(escaped.replaceAll("\n", "")), escaped);
    assert.deepEqual(JSON.parse(escaped), value);
  });
}

for (const { name, text, most = 10, want } of [
  { name: "leaves letters of any script", text: "żółć 注册 日本", want: "żółć 注册 日本" },
  { name: "has one line", text: "a\n\n\tb", want: "a b" },
  { name: "leaves what is as long as it may be", text: "a".repeat(10), want: "a".repeat(10) },
  { name: "cuts what is longer", text: "a".repeat(11), want: `${"a".repeat(9)}…` },
  { name: "cuts a megabyte", text: "a".repeat(1e6), want: `${"a".repeat(9)}…` },
  { name: "cuts no letter in two", text: "aaaaaaaa𝔸aaa", want: "aaaaaaaa…" },
  {
    name: "leaves a letter its marks, but not dozens",
    most: 100,
    text: `e${"\u0301".repeat(50)}!`,
    want: `e${"\u0301".repeat(4)}!`,
  },
])
  test(`plainText() ${name}`, () => assert.equal(plainText(text, most), want));

test("escapedText() leaves lines and tabs", () => assert.equal(escapedText("a\n\tb"), "a\n\tb"));
