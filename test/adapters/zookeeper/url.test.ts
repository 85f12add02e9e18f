import assert from "node:assert/strict";
import { test } from "node:test";
import { dubboKey, interfaceOf, parseDubboUrl } from "../../../adapters/zookeeper/mapping/url.ts";

const urls: readonly (readonly [name: string, want: unknown])[] = [
  [
    "dubbo%3A%2F%2F192.0.2.1%3A20880%2Fcom.acme.Api%3Fgroup%3Dshop%26version%3D1.0%26owner%3DJane+Doe%26flag%26empty%3D",
    {
      protocol: "dubbo",
      host: "192.0.2.1",
      port: 20880,
      params: { group: "shop", version: "1.0", owner: "Jane Doe", flag: "flag", empty: "" },
    },
  ],
  ["TRI%3A%2F%2F%5B2001%3Adb8%3A%3A1%5D%3A50051", { protocol: "tri", host: "2001:db8::1", port: 50051, params: {} }],
  [
    "rest://user:secret@192.0.2.1:8080/api/com.acme.Api?a=b=c?d",
    { protocol: "rest", host: "192.0.2.1", port: 8080, params: { a: "b=c?d" } },
  ],
  ["dubbo://2001:db8::1:20880/x", { protocol: "dubbo", host: "2001:db8::1", port: 20880, params: {} }],
  ["dubbo://192.0.2.1/x", { protocol: "dubbo", host: "192.0.2.1", port: 0, params: {} }],
  ["lock-1", "ignored"],
  ["dubbo:///x", { fault: "has no address" }],
  ["%E0%A4%A", { fault: "is not encoded as a URL is" }],
];
for (const [name, want] of urls)
  test(`the name ${name.slice(0, 40)} is read as Dubbo reads it`, () => assert.deepEqual(parseDubboUrl(name), want));

test("a parameter cannot change what every object has", () => {
  const url = parseDubboUrl("dubbo://192.0.2.1:1/x?__proto__=a&constructor=b");
  assert.ok(typeof url === "object" && "params" in url);
  assert.equal(Object.getPrototypeOf(url.params), Object.prototype);
  assert.equal(dubboKey("com.acme.Api", { params: {} }), "com.acme.Api");
});

test("the interface of a key is what stands between its group and its version", () => {
  for (const params of [{}, { group: "shop" }, { version: "1.0" }, { group: "shop", version: "1.0" }])
    assert.equal(interfaceOf(dubboKey("com.acme.Api", { params })), "com.acme.Api");
});
