import assert from "node:assert/strict";
import { test } from "node:test";
import { addSecretsOf, createSecrets, hasSecretField } from "../src/secrets.ts";

const TOKEN = "s3cr3t/+=t0ken";

for (const { name, text, want } of [
  { name: "as it is", text: `token ${TOKEN} unknown`, want: "token [secret] unknown" },
  { name: "twice", text: `${TOKEN}${TOKEN}`, want: "[secret][secret]" },
  { name: "in a URL", text: `/v1?token=${encodeURIComponent(TOKEN)}&a`, want: "/v1?token=[secret]&a" },
  {
    name: "in a URL whose digits are small letters",
    text: encodeURIComponent(TOKEN).toLowerCase(),
    want: "[secret]",
  },
  { name: "in capitals", text: TOKEN.toUpperCase(), want: "[secret]" },
  { name: "as base64", text: `Basic ${btoa(TOKEN)}`, want: "Basic [secret]" },
  { name: "as base64 without its end", text: `${btoa(TOKEN).replaceAll("=", "")}.`, want: "[secret]." },
  { name: "in a text that is cut within it", text: `token ${TOKEN.slice(0, 6)}… and`, want: "token [secret]… and" },
  { name: "in a text that is cut behind a space", text: `token ${TOKEN.slice(0, 6)} …`, want: "token [secret]…" },
  { name: "nowhere", text: "nothing to hide…", want: "nothing to hide…" },
])
  test(`mask() finds a value ${name}`, () => {
    const secrets = createSecrets();
    assert.equal(secrets.mask(text), text, "nothing is secret yet");
    secrets.add(TOKEN);
    assert.equal(secrets.mask(text), want);
  });

test("mask() finds a value with quotes and line ends in JSON", () => {
  const secrets = createSecrets();
  secrets.add('a"b\\c\nd');
  assert.equal(secrets.mask(JSON.stringify({ error: 'it is a"b\\c\nd' })), '{"error":"it is [secret]"}');
});

test("mask() prefers the longer of two values", () => {
  const secrets = createSecrets();
  for (const value of ["user", "user:password", "password"]) secrets.add(value);
  assert.equal(secrets.mask("user:password user passwords"), "[secret] [secret] [secret]s");
});

test("add() takes no value of less than four characters, and forgets the oldest of a thousand", () => {
  const secrets = createSecrets();
  for (const value of ["abc", "", undefined]) secrets.add(value);
  assert.equal(secrets.mask("abc"), "abc");
  for (let at = 0; at <= 1000; at++) secrets.add(`value-${1000 + at}.`);
  assert.equal(secrets.mask("value-1000. value-1001. value-2000."), "value-1000. [secret] [secret]");
});

const options = {
  address: "http://registry.example.org",
  token: "of-token",
  tokenFile: "a-file",
  basicAuth: { username: "someone", password: "of-password" },
  options: { apiKey: "of-api-key", headers: { Authorization: "Bearer of-bearer" }, tokens: ["of-list"] },
};

test("addSecretsOf() finds fields that are named like a secret, at any depth, and no names of files", () => {
  const secrets = createSecrets();
  addSecretsOf(options, secrets);
  const shown = secrets.mask(JSON.stringify(options));
  assert.doesNotMatch(shown, /of-/);
  for (const kept of ["registry.example.org", "a-file", "someone"]) assert.ok(shown.includes(kept), kept);
});

for (const { given, want } of [
  { given: options, want: true },
  { given: { tokenFile: "a" }, want: true },
  { given: { options: { passwordFile: "a" } }, want: true },
  { given: { address: "http://a.example.org", labels: { "token-ring": "a" } }, want: false },
  { given: {}, want: false },
  { given: undefined, want: false },
])
  test(`hasSecretField() is ${want} for ${JSON.stringify(given)}`, () => assert.equal(hasSecretField(given), want));
