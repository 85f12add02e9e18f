import assert from "node:assert/strict";
import { test } from "node:test";
import { tls } from "../../../src/doctor/checks/tls.ts";
import type { TlsRuleFact } from "../../../src/model/cluster-facts.ts";
import { installation, known, settings, soundFacts } from "../facts.ts";

const rule = (place: string, host: string, mode?: string, fields: Partial<TlsRuleFact> = {}): TlsRuleFact => {
  const [namespace = "", name = ""] = place.split("/");
  return { namespace, name, host, mode, isExported: true, ...fields };
};
const everything = rule("istio-system/all", "*", "ISTIO_MUTUAL");
const byEndpoint = rule("mesh-services/by-endpoint", "*.mesh.internal");
const cases: readonly {
  readonly name: string;
  readonly rules: readonly TlsRuleFact[];
  readonly want: readonly RegExp[];
}[] = [
  { name: "none", rules: [], want: [] },
  { name: "one for the cluster's own names", rules: [rule("istio-system/a", "*.local", "ISTIO_MUTUAL")], want: [] },
  { name: "one for another domain", rules: [rule("istio-system/a", "*.shmesh.internal", "ISTIO_MUTUAL")], want: [] },
  {
    name: "one for everything",
    rules: [everything],
    want: [
      /^DestinationRule istio-system\/all says ISTIO_MUTUAL for \*: endpoints without a sidecar are out of reach ⇒ echo '.*"by-endpoint","namespace":"mesh-services"\},"spec":\{"host":"\*\.mesh\.internal"\}\}' \| kubectl apply -f -$/,
    ],
  },
  { name: "one for everything that nobody else sees", rules: [{ ...everything, isExported: false }], want: [] },
  { name: "one for everything that wants none", rules: [{ ...everything, mode: "DISABLE" }], want: [] },
  { name: "one for a parent domain", rules: [rule("istio-system/a", "*.internal", "SIMPLE")], want: [/says SIMPLE/] },
  { name: "one for everything, with one for our hosts", rules: [everything, byEndpoint], want: [] },
  {
    name: "two in one place, of which the more specific counts",
    rules: [everything, rule("istio-system/ours", "*.mesh.internal")],
    want: [],
  },
  {
    name: "one for our hosts that wants it itself",
    rules: [{ ...byEndpoint, mode: "MUTUAL" }],
    want: [/^DestinationRule mesh-services\/by-endpoint says MUTUAL .* ⇒ echo '.*"name":"by-endpoint"/],
  },
  {
    name: "one for everything in a namespace of callers",
    rules: [rule("shop/all", "*", "ISTIO_MUTUAL", { isExported: false }), byEndpoint],
    want: [/^DestinationRule shop\/all .* out of reach from namespace shop ⇒ echo '.*"namespace":"shop"\}/],
  },
  {
    name: "the same, with one for our hosts beside it",
    rules: [rule("shop/all", "*", "ISTIO_MUTUAL"), rule("shop/ours", "*.mesh.internal")],
    want: [],
  },
  { name: "several", rules: [everything, rule("shop/all", "*", "ISTIO_MUTUAL")], want: [/mesh-services/, /shop/] },
];
for (const { name, rules, want } of cases)
  test(`doctor, tls: DestinationRules: ${name}`, () => {
    const found = tls({ ...soundFacts, tlsRules: known(rules) }, settings, known(installation));
    const wrong = found.filter(({ state }) => state !== "fine").map(({ message, fix }) => `${message} ⇒ ${fix}`);
    assert.equal(wrong.length, want.length, wrong.join("\n"));
    for (const [at, text] of wrong.entries()) assert.match(text, want[at] ?? /^$/);
    assert.equal(found.length, Math.max(1, want.length), "what is fine is said, too");
  });
