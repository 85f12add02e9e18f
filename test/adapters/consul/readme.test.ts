import assert from "node:assert/strict";
import { test } from "node:test";
import { consulFields, consulOptions } from "../../../adapters/consul/options.ts";
import { testManual } from "../manual.ts";

await testManual("consul", Object.keys(consulFields.shape));

const address = "http://consul.example.org:8500";
const refused: readonly { readonly name: string; readonly options: object; readonly path: string }[] = [
  { name: "no address", options: {}, path: "address" },
  ...["consul.example.org:8500", "ftp://x", "http://u:p@x", "http://x?token=1", "unix://x", "unix://"].map((bad) => ({
    name: `the address ${bad}`,
    options: { address: bad },
    path: "address",
  })),
  { name: "two tokens", options: { address, token: "a", tokenFile: "b" }, path: "tokenFile" },
  { name: "TLS without https", options: { address, tls: { ca: "a" } }, path: "tls" },
  { name: "a key without certificate", options: { address: "https://x", tls: { key: "a" } }, path: "tls" },
  { name: "no password", options: { address, basicAuth: { username: "a" } }, path: "basicAuth" },
  { name: "a datacenter twice", options: { address, datacenters: ["a", "a"] }, path: "datacenters" },
  { name: "a number as wait", options: { address, wait: 5 }, path: "wait" },
  { name: "what is no option", options: { address, filters: "x" }, path: "" },
];
for (const { name, options, path } of refused)
  test(`the options refuse ${name}`, () => {
    const { error } = consulOptions.safeParse(options);
    assert.equal(error?.issues[0]?.path[0] ?? "", path);
  });
