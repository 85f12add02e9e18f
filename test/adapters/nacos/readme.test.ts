import assert from "node:assert/strict";
import { test } from "node:test";
import { nacosFields, nacosOptions } from "../../../adapters/nacos/options.ts";
import { testManual } from "../manual.ts";

await testManual("nacos", Object.keys(nacosFields.shape));

const address = "http://nacos.example.org:8848";
const refused: readonly { readonly name: string; readonly options: object; readonly path: string }[] = [
  { name: "no address", options: {}, path: "address" },
  { name: "no server", options: { address: [] }, path: "address" },
  { name: "a server twice", options: { address: [address, `${address}/nacos/`] }, path: "address" },
  ...["nacos.example.org:8848", "ftp://x", "http://u:p@x", "http://x?a=1"].map((bad) => ({
    name: `the address ${bad}`,
    options: { address: bad },
    path: "address",
  })),
  { name: "a port of gRPC that is none", options: { address, grpcPortOffset: 60_000 }, path: "grpcPortOffset" },
  { name: "no namespace", options: { address, namespaces: [] }, path: "namespaces" },
  { name: "an empty namespace", options: { address, namespaces: [""] }, path: "namespaces" },
  { name: "a namespace twice", options: { address, namespaces: ["a", "a"] }, path: "namespaces" },
  { name: "a user without password", options: { address, username: "a" }, path: "username" },
  { name: "a password without user", options: { address, password: "a" }, path: "username" },
  { name: "two passwords", options: { address, username: "a", password: "a", passwordFile: "b" }, path: "username" },
  { name: "a key without its secret", options: { address, accessKey: "a" }, path: "accessKey" },
  {
    name: "two ways to introduce oneself",
    options: { address, username: "a", password: "b", accessKey: "a", secretKey: "b" },
    path: "accessKey",
  },
  { name: "a certificate without its key", options: { address, tls: { cert: "a" } }, path: "tls" },
  { name: "what is no option", options: { address, poll: 5 }, path: "" },
];
for (const { name, options, path } of refused)
  test(`the options refuse ${name}`, () => {
    const { error } = nacosOptions.safeParse(options);
    assert.equal(error?.issues[0]?.path[0] ?? "", path);
  });

test("an address without a path means /nacos, and another path is kept", () => {
  assert.deepEqual(nacosOptions.parse({ address: [`${address}/`, "https://x/registry/"] }).address, [
    `${address}/nacos`,
    "https://x/registry",
  ]);
});
