import assert from "node:assert/strict";
import { test } from "node:test";
import { zooKeeperFields, zooKeeperOptions } from "../../../adapters/zookeeper/options.ts";
import { testManual } from "../manual.ts";

await testManual("zookeeper", Object.keys(zooKeeperFields.shape));

const address = "zk.example.org:2181";
const refused: readonly { readonly name: string; readonly options: object; readonly path: string }[] = [
  { name: "no address", options: {}, path: "address" },
  { name: "no server", options: { address: [] }, path: "address" },
  { name: "a server twice", options: { address: ["zk.example.org", address] }, path: "address" },
  ...["zk:0", "zk:70000", "zk:x", "a b:1", "http://zk:2181", "u@zk:1", "zk:1,", "zk/a//b", "zk/..", "[::1"].map(
    (bad) => ({
      name: `the address ${bad}`,
      options: { address: bad },
      path: "address",
    }),
  ),
  { name: "a layout that nobody knows", options: { address, layout: "nacos" }, path: "layout" },
  { name: "a root that is no path", options: { address, root: "dubbo" }, path: "root" },
  { name: "applications in layout curator", options: { address, layout: "curator", by: "application" }, path: "by" },
  { name: "dubboRoot in layout dubbo", options: { address, dubboRoot: "/dubbo" }, path: "dubboRoot" },
  { name: "a key without certificate", options: { address, tls: { key: "a" } }, path: "tls" },
  { name: "no password", options: { address, digestAuth: { username: "a" } }, path: "digestAuth" },
  { name: "a number as timeout", options: { address, timeout: 5 }, path: "timeout" },
  { name: "a namespace with a slash", options: { address, namespace: "a/b" }, path: "namespace" },
  { name: "what is no option", options: { address, sasl: true }, path: "" },
];
for (const { name, options, path } of refused)
  test(`the options refuse ${name}`, () => {
    const { error } = zooKeeperOptions.safeParse(options);
    assert.equal(error?.issues[0]?.path[0] ?? "", path);
  });

const addresses: readonly (readonly [
  given: unknown,
  servers: readonly (readonly [string, number])[],
  chroot: string,
])[] = [
  ["zk", [["zk", 2181]], ""],
  [
    "zk-1:2181,zk-2:2182/prefix/deep",
    [
      ["zk-1", 2181],
      ["zk-2", 2182],
    ],
    "/prefix/deep",
  ],
  [
    ["192.0.2.1:2281", "[2001:db8::1]:2281/"],
    [
      ["192.0.2.1", 2281],
      ["2001:db8::1", 2281],
    ],
    "",
  ],
  ["[2001:db8::1]", [["2001:db8::1", 2181]], ""],
];
for (const [given, servers, chroot] of addresses)
  test(`the address ${JSON.stringify(given)} is read as clients read it`, () => {
    const { address: read } = zooKeeperOptions.parse({ address: given });
    assert.deepEqual(read, { servers: servers.map(([host, port]) => ({ host, port })), chroot });
  });
