import assert from "node:assert/strict";
import { test } from "node:test";
import { resolver } from "../../../adapters/polaris/aliases.ts";
import type { Name } from "../../../adapters/polaris/client/reply.ts";
import { sidNamespaces } from "../../../adapters/polaris/l5.ts";
import type { Known } from "../../../adapters/polaris/links.ts";
import { ReadError } from "../../../src/errors.ts";
import type { Service } from "../../../src/model/service.ts";
import { hostFromTemplate } from "../../../src/plan/names/dns-names.ts";

const named = (id: string): Name => {
  const at = id.indexOf("/");
  return { namespace: id.slice(0, at), name: id.slice(at + 1) };
};

function serviceAt(id: string): Service {
  const nothing = { ports: [], endpoints: [], leftOut: [], metadata: {}, legacyNames: [], notes: [] };
  return { registry: "prod", ...named(id), ...nothing, source: "here" };
}

/** `default/orders`, an alias `default/stock → Production/inventory`, or either with `!` behind when its read failed. */
function known(text: string): Known {
  const [, id = "", , target, failed] = /^(\S+?)( → (\S+?))?(!)?$/.exec(text) ?? [];
  return {
    name: named(id),
    content: {
      service: serviceAt(id),
      target: target === undefined ? undefined : named(target),
      isEmpty: false,
    },
    failure: failed === undefined ? undefined : new ReadError("server", "500"),
  };
}

const SID = "192000065:65537"; // layout 1, Production
const OLD = "64129:65536"; // no layout

const cases: readonly {
  name: string;
  known: readonly string[];
  /** Services with their aliases; `!` means failed, `-` without a name of its own. */
  want: readonly string[];
  note?: RegExp;
  asked?: RegExp;
  mayStand?: boolean;
  dangling?: readonly string[];
}[] = [
  { name: "services as they are", known: ["default/b", "default/a"], want: ["default/a", "default/b"] },
  {
    name: "aliases as names of their service, also of another namespace",
    known: [
      "default/stock → Production/inventory",
      "Production/inventory",
      "Production/bestand → Production/inventory",
    ],
    want: ["Production/inventory (Production/bestand, default/stock)"],
  },
  {
    name: "an alias whose target is outside as a service of its own",
    known: ["default/stock → Production/inventory"],
    asked: /^default\//,
    want: ["default/stock"],
    note: /^an alias of Production\/inventory, which is not read here: a service of its own$/,
  },
  {
    name: "an alias whose target should be listed and is not as unread",
    known: ["default/stock → Production/inventory"],
    want: ["default/stock!"],
    dangling: ["default/stock"],
  },
  {
    name: "an alias whose target is still not listed as a service of its own",
    known: ["default/stock → Production/inventory"],
    mayStand: true,
    want: ["default/stock"],
    dangling: ["default/stock"],
  },
  {
    name: "a name that an alias had whose read failed",
    known: ["default/stock → Production/inventory!", "Production/inventory"],
    want: ["Production/inventory (default/stock)", "default/stock!"],
  },
  {
    name: "no names to a service that could not be read",
    known: ["default/stock → Production/inventory", "Production/inventory!"],
    want: ["Production/inventory!"],
  },
  {
    name: "an alias of an alias as a service of its own",
    known: ["default/a → default/b", "default/b → default/c", "default/c"],
    want: ["default/a", "default/c (default/b)"],
  },
  {
    name: "a sid as a name in the namespace of its layout",
    known: [`Production/${SID} → Production/inventory`, "Production/inventory"],
    want: [`Production/inventory (Production/${SID})`],
  },
  {
    name: "no sid as a name in another namespace than that of its layout",
    known: [`Test/${SID} → Test/inventory`, "Test/inventory"],
    want: ["Test/inventory"],
    note: new RegExp(`^alias Test/${SID} is not a valid name: L5 clients look for sid ${SID} in Production$`),
  },
  {
    name: "no sid as a name whose layout is none",
    known: ["Production/192000064:1 → Production/inventory", "Production/inventory"],
    want: ["Production/inventory"],
    note: /L5 clients look for sid 192000064:1 nowhere/,
  },
  {
    name: "an old sid to Production when default does not have it",
    known: [`Production/${OLD} → Production/inventory`, "Production/inventory"],
    want: [`Production/inventory (Production/${OLD})`],
  },
  {
    name: "an old sid to default when both have it",
    known: [
      `Production/${OLD} → Production/inventory`,
      "Production/inventory",
      `default/${OLD} → default/orders`,
      "default/orders",
    ],
    want: ["Production/inventory", `default/orders (default/${OLD})`],
    note: new RegExp(`^alias Production/${OLD} is not a valid name: L5 clients find sid ${OLD} in default first$`),
  },
  {
    name: "an old sid to default also while default's cannot be read",
    known: [`Production/${OLD} → Production/inventory`, "Production/inventory", `default/${OLD}!`],
    want: ["Production/inventory", `default/${OLD}!`],
  },
  {
    name: "services that are called by a sid the same way",
    known: [`Production/${OLD}`, `default/${OLD}`, `Test/${SID}`, `Production/${SID}`],
    want: [`Production/${SID}`, `Production/${OLD}-`, `Test/${SID}-`, `default/${OLD}`],
    note: new RegExp(`^it is not a valid name: L5 clients find sid ${OLD} in default first$`),
  },
];
for (const { name, known: texts, want, note, asked = /./, mayStand = false, dangling = [] } of cases) {
  test(`resolve() gives ${name}`, () => {
    const resolve = resolver("prod", (one) => asked.test(`${one.namespace}/${one.name}`));
    const result = resolve(texts.map(known), () => mayStand);
    const shown = result.reads.map((read) => {
      if (read.state === "failed") return `${read.key.slice("prod/".length)}!`;
      const { namespace, name: own, aliases, aliasesOnly } = read.service;
      const others = aliases?.map((alias) => `${alias.namespace}/${alias.name}`).join(", ");
      return `${namespace}/${own}${aliasesOnly === true ? "-" : ""}${others === undefined ? "" : ` (${others})`}`;
    });
    assert.deepEqual(shown, want);
    assert.deepEqual(
      result.dangling.map((one) => `${one.namespace}/${one.name}`),
      dangling,
    );
    const notes = result.reads.flatMap((read) => (read.state === "ok" ? read.service.notes : []));
    if (note !== undefined)
      assert.ok(
        notes.some((one) => note.test(one)),
        notes.join("; "),
      );
  });
}

test("resolve() fails a name that was never read", () => {
  const unread: Known = { name: named("default/a"), content: undefined, failure: undefined };
  const [read] = resolver("prod", () => true)([unread], () => false).reads;
  assert.equal(read?.state, "failed");
});

test("resolve() keeps a service's identity until it or its aliases change", () => {
  const resolve = resolver("prod", () => true);
  const [orders, stock, inventory] = [
    known("default/orders"),
    known("default/stock → Production/inventory"),
    known("Production/inventory"),
  ];
  const of = (...all: readonly Known[]) =>
    new Map(
      resolve(all, () => false).reads.flatMap((read) =>
        read.state === "ok" ? [[read.service.name, read.service]] : [],
      ),
    );
  const first = of(orders, stock, inventory);
  const again = of(inventory, orders, stock);
  assert.equal(again.get("inventory"), first.get("inventory"));
  assert.equal(again.get("orders"), first.get("orders"));
  const less = of(orders, inventory);
  assert.notEqual(less.get("inventory"), first.get("inventory"));
  assert.equal(less.get("orders"), first.get("orders"));
  assert.equal(less.get("inventory")?.aliases, undefined);
});

test("sidNamespaces() knows sids from other names", () => {
  for (const name of ["orders", "1:2:3", "1:", ":1", "a:1", "4294967296:1", "1:4294967296", "1.2"])
    assert.equal(sidNamespaces(name), undefined, name);
  assert.deepEqual(sidNamespaces("4294967295:4294967295"), []);
  assert.deepEqual(sidNamespaces("0:0"), ["default", "Production"]);
  assert.deepEqual(sidNamespaces(`${3_000_000 * 64 + 63}:1`), ["default", "Production"]);
  for (const [at, namespace] of ["Production", "Development", "Pre-release", "Test", "Polaris", "default"].entries())
    assert.deepEqual(sidNamespaces(`${3_000_001 * 64 + at + 1}:1`), [namespace]);
});

test("names that only Polaris allows get hosts of their own", () => {
  const names = [
    "DEFAULT_GROUP__Foo.Bar/baz:1",
    "DEFAULT_GROUP__Foo.Bar/baz_1",
    "DEFAULT_GROUP__Foo.Bar:baz/1",
    "a/b",
    "a:b",
    "a_b",
    "a-b",
    "..",
    "-",
    "_",
    "a.",
  ];
  const hosts = names.map((name) =>
    hostFromTemplate(
      { registry: "prod", namespace: "default", name },
      "{service}.{namespace}.{registry}.mesh.internal",
    ),
  );
  assert.equal(new Set(hosts).size, names.length);
  for (const host of hosts) assert.match(host, /^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+internal$/);
});
