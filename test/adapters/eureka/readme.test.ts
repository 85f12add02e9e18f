import assert from "node:assert/strict";
import { test } from "node:test";
import { eurekaFields, eurekaOptions } from "../../../adapters/eureka/options.ts";
import { testManual } from "../manual.ts";

await testManual("eureka", Object.keys(eurekaFields.shape));

const address = "http://eureka.example.org:8761/eureka";
const refused: readonly { readonly name: string; readonly options: object; readonly path: string }[] = [
  { name: "no address", options: {}, path: "address" },
  { name: "no server", options: { address: [] }, path: "address" },
  { name: "a server twice", options: { address: [address, `${address}/`] }, path: "address" },
  ...["eureka.example.org:8761", "ftp://x", "http://u:p@x/eureka", "http://x?a=1"].map((bad) => ({
    name: `the address ${bad}`,
    options: { address: bad },
    path: "address",
  })),
  { name: "TLS without https", options: { address, tls: { ca: "a" } }, path: "tls" },
  { name: "a key without certificate", options: { address: "https://x", tls: { key: "a" } }, path: "tls" },
  { name: "no password", options: { address, basicAuth: { username: "a" } }, path: "basicAuth" },
  { name: "a number as interval", options: { address, interval: 5 }, path: "interval" },
  { name: "a region with a slash", options: { address, region: "a/b" }, path: "region" },
  { name: "what is no option", options: { address, delta: true }, path: "" },
];
for (const { name, options, path } of refused)
  test(`the options refuse ${name}`, () => {
    const { error } = eurekaOptions.safeParse(options);
    assert.equal(error?.issues[0]?.path[0] ?? "", path);
  });

test("a slash at the end of an address is none of it", () => {
  assert.deepEqual(eurekaOptions.parse({ address: `${address}/` }).address, [address]);
});
