import assert from "node:assert/strict";
import { test } from "node:test";
import { intern } from "../../../adapters/intern.ts";
import { compileRules } from "../../../adapters/shapes/rules.ts";
import { catalog } from "../../../adapters/zookeeper/catalog/catalog.ts";
import type { Node, Tree } from "../../../adapters/zookeeper/client/tree.ts";
import { interfaceOfNode, nodeOfKey } from "../../../adapters/zookeeper/mapping/url.ts";
import { type ZooKeeperOptions, zooKeeperOptions } from "../../../adapters/zookeeper/options.ts";
import { curatorLayout } from "../../../adapters/zookeeper/read/curator.ts";
import { dubboLayout } from "../../../adapters/zookeeper/read/dubbo.ts";
import { finish } from "../../../src/async/slices.ts";
import type { Service } from "../../../src/model/service.ts";
import { entryOf } from "../entry.ts";
import { API, configuratorNode, dubboData, type Provider, providerNode, springData } from "./registration.ts";

/** A tree of these nodes, with their data. */
function treeOf(nodes: Readonly<Record<string, string>>): Tree {
  const paths = Object.keys(nodes);
  const node = async <What>(path: string, value: What): Promise<Node<What>> =>
    paths.some((one) => one === path || one.startsWith(`${path}/`))
      ? { state: "ok", value, digest: JSON.stringify(value) }
      : { state: "none" };
  return {
    children(path) {
      const below = paths.flatMap((one) =>
        one.startsWith(`${path}/`) ? [one.slice(path.length + 1).split("/")[0] ?? ""] : [],
      );
      return node(path, [...new Set(below)]);
    },
    data: (path) => node(path, Buffer.from(nodes[path] ?? "")),
    sync: async () => undefined,
    watchBelow: async () => true,
  };
}

/** The services of one node of a layout, in words, by name. */
async function entries(given: object, name: string, nodes: Readonly<Record<string, string>>): Promise<string> {
  const options: ZooKeeperOptions = zooKeeperOptions.parse({ address: "zk.example.org", ...given });
  const mapping = { labels: options.labels, rules: compileRules(options), pool: intern() };
  const isDubbo = options.layout === "dubbo";
  const layout = isDubbo ? dubboLayout("/dubbo", options.by, mapping) : curatorLayout("/services", mapping);
  const known = catalog({
    ...{ ...mapping, registry: "zk", namespace: "default", sourceOf: () => "here", isWanted: () => true },
    isMadeOnce: options.by === "interface",
    nameOf: isDubbo ? interfaceOfNode : (node) => node,
    nodeOf: options.by === "application" ? undefined : isDubbo ? nodeOfKey : (service) => service,
  });
  const part = await layout.read(treeOf(nodes), name, undefined, false);
  if (part !== undefined) known.put(name, part);
  finish(known.settle());
  const found = known
    .read([])
    .services.map((read): [string, string] =>
      read.state === "ok"
        ? [read.service.name, shown(read.service)]
        : [read.key, `failed: ${(read.cause as Error).message}`],
    );
  return found
    .map(([service, text]) => (found.length === 1 && service === name ? text : `${service}: ${text}`))
    .join("; ");
}

function shown(service: Service): string {
  return [entryOf(service), ...service.notes.map((note) => `! ${note}`)].join(" ");
}

/** The entry of these providers, and of the rules beside them. */
function dubbo(
  options: object,
  providers: readonly (Provider | string)[],
  rules: readonly string[] = [],
): Promise<string> {
  const place = (kind: string) => (name: string) => [`/dubbo/${API}/${kind}/${name}`, ""] as const;
  const names = providers.map((one) => (typeof one === "string" ? encodeURIComponent(one) : providerNode(one)));
  return entries(
    options,
    API,
    Object.fromEntries([...names.map(place("providers")), ...rules.map(place("configurators"))]),
  );
}

/** The entry of an application of these instances. */
function curator(options: object, ...data: readonly string[]): Promise<string> {
  const nodes = data.map((one, at) => [`/services/orders/${at}`, one] as const);
  return entries({ layout: "curator", ...options }, "orders", Object.fromEntries(nodes));
}

const DUBBO = "tcp-metaprotocol-dubbo-dubbo 20880 TCP";
const second = { address: "192.0.2.2" };
const spring = (fields: object = {}) => springData({ app: "orders", ...fields });
const dubbo3 = (endpoints: readonly object[], fields: object = {}) =>
  dubboData({ app: "orders", ...fields }, endpoints);
const TRI = { protocol: "tri", port: 50051 };

const shapes: readonly (readonly [name: string, entry: Promise<string>, want: string])[] = [
  ["Dubbo 2.7", dubbo({}, [{}]), `${DUBBO} | 192.0.2.1 w100`],
  [
    "Dubbo 2.6, short",
    dubbo({}, ["dubbo://192.0.2.1:20880/com.acme.OrderApi?application=orders&dubbo=2.6.2"]),
    `${DUBBO} | 192.0.2.1 w100`,
  ],
  [
    "Dubbo 3 by interface",
    dubbo({}, [
      { params: { release: "3.2.10", "service-name-mapping": true, "executor-management-mode": "isolation" } },
    ]),
    `${DUBBO} | 192.0.2.1 w100`,
  ],
  [
    "a group and a version",
    dubbo({}, [{ params: { group: "shop", version: "1.0.0" } }]),
    `shop/${API}:1.0.0: ${DUBBO} | 192.0.2.1 w100`,
  ],
  ["version 0.0.0", dubbo({}, [{ params: { version: "0.0.0", group: "" } }]), `${DUBBO} | 192.0.2.1 w100`],
  [
    "two versions of one interface are two services",
    dubbo({}, [{ params: { version: "1.0" } }, { ...second, params: { version: "2.0" } }]),
    `${API}:1.0: ${DUBBO} | 192.0.2.1 w100; ${API}:2.0: ${DUBBO} | 192.0.2.2 w100`,
  ],
  ["Triple", dubbo({}, [TRI]), "grpc-tri 50051 GRPC | 192.0.2.1 w100"],
  ["Dubbo and Triple of one program", dubbo({}, [{}, TRI]), `${DUBBO}, grpc-tri 50051 GRPC | 192.0.2.1 w100`],
  [
    "Triple on some of the programs only",
    dubbo({}, [{}, TRI, second]),
    `${DUBBO} | 192.0.2.1 w100, 192.0.2.2 w100 ! port tri is dropped: not all instances with port dubbo have it`,
  ],
  [
    "a program that speaks the other protocol alone",
    dubbo({}, [{}, second, { ...TRI, address: "192.0.2.3" }]),
    `${DUBBO} | 192.0.2.1 w100, 192.0.2.2 w100 | out: port 192.0.2.3:50051 ! port tri is dropped: not all instances with port dubbo have it`,
  ],
  ["REST", dubbo({}, [{ protocol: "rest", port: 8080 }]), "http-rest 8080 HTTP | 192.0.2.1 w100"],
  ["Hessian", dubbo({}, [{ protocol: "hessian", port: 8080 }]), "http-hessian 8080 HTTP | 192.0.2.1 w100"],
  [
    "RMI",
    dubbo({}, [{ protocol: "rmi", port: 1099 }]),
    "tcp-rmi 1099 TCP | 192.0.2.1 w100 ! protocol rmi is not known to Istio: TCP",
  ],
  [
    "TLS of Dubbo's own",
    dubbo({}, [{ params: { "ssl-enabled": true } }]),
    "tcp-dubbo 20880 TCP | 192.0.2.1 w100 ! protocol dubbo with ssl-enabled is TCP in the mesh",
  ],
  ["IPv6 in brackets", dubbo({}, [{ address: "[2001:db8::31]" }]), `${DUBBO} | 2001:db8::31 w100`],
  ["IPv6 without them", dubbo({}, [{ address: "2001:db8::31" }]), `${DUBBO} | 2001:db8::31 w100`],
  [
    "IPv6 with a zone",
    dubbo({}, [{}, { address: "fe80::1%en0" }]),
    `${DUBBO} | 192.0.2.1 w100 | out: address [fe80::1%en0]:20880`,
  ],
  [
    "a host name",
    dubbo({}, [{ address: "orders-1.corp.example.com" }]),
    `${DUBBO} | orders-1.corp.example.com w100 | DNS`,
  ],
  [
    "a name of one label",
    dubbo({}, [{}, { address: "orders-1" }]),
    `${DUBBO} | 192.0.2.1 w100 | out: address orders-1:20880`,
  ],
  [
    "a port of its own on each machine",
    dubbo({}, [{ port: 20882 }, { ...second, port: 20881 }]),
    "tcp-metaprotocol-dubbo-dubbo 20881 TCP | 192.0.2.1 tcp-metaprotocol-dubbo-dubbo:20882 w100, 192.0.2.2 w100",
  ],
  [
    "two programs on each machine",
    dubbo(
      {},
      ["192.0.2.1", "192.0.2.2"].flatMap((address) => [20880, 20881].map((port) => ({ address, port }))),
    ),
    `${DUBBO} | 192.0.2.1 tcp-metaprotocol-dubbo-dubbo:20881 w100, 192.0.2.1 w100, 192.0.2.2 tcp-metaprotocol-dubbo-dubbo:20881 w100, 192.0.2.2 w100`,
  ],
  [
    "a restart within the session of before: the later one counts",
    dubbo({}, [{ params: { timestamp: 2, weight: 7 } }, { params: { timestamp: 1, weight: 3 } }]),
    `${DUBBO} | 192.0.2.1 w7 | out: duplicate 192.0.2.1:20880`,
  ],
  [
    "no port",
    dubbo({}, ["dubbo://192.0.2.1/com.acme.OrderApi", providerOf(second)]),
    `${DUBBO} | 192.0.2.2 w100 | out: port 192.0.2.1:0`,
  ],
  [
    "weights",
    dubbo({}, [{ params: { weight: 7 } }, { ...second, params: { weight: 0 } }]),
    `${DUBBO} | 192.0.2.1 w7 | out: weight 192.0.2.2:20880`,
  ],
  [
    "a weight that is none",
    dubbo({}, [{}, { ...second, params: { weight: "high" } }]),
    `${DUBBO} | 192.0.2.1 w100 | out: weight 192.0.2.2:20880`,
  ],
  [
    "disabled",
    dubbo({}, [{}, { ...second, params: { disabled: true } }]),
    `${DUBBO} | 192.0.2.1 w100 | out: disabled 192.0.2.2:20880`,
  ],
  [
    "not enabled",
    dubbo({}, [{}, { ...second, params: { enabled: false } }]),
    `${DUBBO} | 192.0.2.1 w100 | out: disabled 192.0.2.2:20880`,
  ],
  [
    "an empty mark, and a consumer",
    dubbo({}, [{}, { protocol: "empty" }, { protocol: "consumer", address: "192.0.2.9" }]),
    `${DUBBO} | 192.0.2.1 w100`,
  ],
  [
    "a node that is no URL",
    dubbo({}, [{}, "lock-0000000001"]),
    `${DUBBO} | 192.0.2.1 w100 ! node lock-0000000001 is no URL, and is passed over as Dubbo does`,
  ],
  [
    "a URL without an address",
    dubbo({}, [{}, "dubbo:///com.acme.OrderApi"]),
    `zk/default/${API}: failed: Cannot read zk/default/${API}`,
  ],
  [
    "rules: weight for all, and another for one",
    dubbo(
      {},
      [{}, second],
      [configuratorNode("192.0.2.2:20880", { weight: 10 }), configuratorNode("0.0.0.0", { weight: 50 })],
    ),
    `${DUBBO} | 192.0.2.1 w50, 192.0.2.2 w10`,
  ],
  [
    "rules: disabled for one",
    dubbo({}, [{}, second], [configuratorNode("192.0.2.2:20880", { disabled: true })]),
    `${DUBBO} | 192.0.2.1 w100 | out: disabled 192.0.2.2:20880`,
  ],
  [
    "rules: of another port, group or that are off",
    dubbo(
      {},
      [{}, second],
      [
        configuratorNode("192.0.2.2:20881", { disabled: true }),
        configuratorNode("192.0.2.2:20880", { disabled: true, group: "shop" }),
        configuratorNode("192.0.2.2:20880", { disabled: true, enabled: false }),
      ],
    ),
    `${DUBBO} | 192.0.2.1 w100, 192.0.2.2 w100`,
  ],
  [
    "rules: the later priority counts, and what is absent only fills",
    dubbo(
      {},
      [{ params: { weight: 30 } }, second],
      [
        configuratorNode("0.0.0.0", { weight: 60, priority: 2 }),
        configuratorNode("0.0.0.0", { weight: 50, priority: 1 }),
        configuratorNode("192.0.2.1:20880", { weight: 40 }).replace("override", "absent"),
      ],
    ),
    `${DUBBO} | 192.0.2.1 w60, 192.0.2.2 w60`,
  ],
  [
    "rules: for some callers only",
    dubbo(
      {},
      [{}],
      [
        configuratorNode("192.0.2.200", { disabled: true }),
        configuratorNode("0.0.0.0", { disabled: true, application: "web" }),
      ],
    ),
    `${DUBBO} | 192.0.2.1 w100 ! a configurator for 192.0.2.200 is not used: it is for callers at that address ! a configurator for 0.0.0.0 is not used: it has the condition application`,
  ],
  [
    "by application: interfaces of one program are one endpoint",
    dubbo({ by: "application" }, [{}, { params: { version: "2.0" } }, { ...second, params: { application: "stock" } }]),
    `orders: ${DUBBO} | 192.0.2.1 w100 | out: duplicate 192.0.2.1:20880; stock: ${DUBBO} | 192.0.2.2 w100`,
  ],
  [
    "what the operator says of ports",
    dubbo(
      {
        ports: [
          { meta: "protocol=tri", name: "rpc", protocol: "http2" },
          { number: 80, name: "old", protocol: "tcp" },
        ],
      },
      [{}, TRI],
    ),
    "tcp-old 80 TCP, http2-rpc 50051 HTTP2 | 192.0.2.1 tcp-old:20880 w100 ! ports[1] of the registry says which instances are of port old ! ports[0] of the registry says which instances are of port rpc",
  ],
  [
    "left out by a parameter, and labels",
    dubbo({ instances: { exclude: [{ meta: "env=test" }] }, labels: { env: "env", application: "app" } }, [
      { params: { env: "prod" } },
      { ...second, params: { env: "test" } },
    ]),
    `${DUBBO} | 192.0.2.1 w100 app=orders env=prod | out: filter 192.0.2.2:20880`,
  ],
  [
    "a pod beside a VM",
    dubbo({}, [{}, { address: "10.1.0.1", params: { "x2istio-owner": "west" } }]),
    `${DUBBO} | 192.0.2.1 w100 | out: kubernetes 10.1.0.1:20880`,
  ],
  ["Spring Cloud", curator({}, spring()), "http 8080 HTTP | 192.0.2.1"],
  [
    "Spring Cloud by host name",
    curator({}, spring({ address: "orders-1.corp.example.com" })),
    "http 8080 HTTP | orders-1.corp.example.com | DNS",
  ],
  [
    "Spring Cloud with TLS beside it",
    curator({}, spring({ sslPort: 8443 })),
    "http 8080 HTTP, https 8443 HTTPS | 192.0.2.1",
  ],
  ["Spring Cloud with TLS alone", curator({}, spring({ port: 8443, sslPort: 8443 })), "https 8443 HTTPS | 192.0.2.1"],
  [
    "Spring Cloud: out of service, and a status in small letters",
    curator(
      {},
      spring({ metadata: { instance_status: "up" } }),
      spring({ address: "192.0.2.2", metadata: { instance_status: "OUT_OF_SERVICE" } }),
    ),
    "http 8080 HTTP | 192.0.2.1 | out: disabled 192.0.2.2:8080",
  ],
  [
    "Spring Cloud before there were statuses",
    curator({}, springData({ app: "orders", metadata: { instance_status: undefined } })),
    "http 8080 HTTP | 192.0.2.1",
  ],
  [
    "Spring Cloud: a protocol in metadata",
    curator({}, spring({ metadata: { protocol: "h2c" } })),
    "http2 8080 HTTP2 | 192.0.2.1",
  ],
  ["Curator alone, without payload", curator({}, spring({ fields: { payload: null } })), "http 8080 HTTP | 192.0.2.1"],
  ["Curator with a text as payload", curator({}, spring({ fields: { payload: "v1" } })), "http 8080 HTTP | 192.0.2.1"],
  [
    "Curator: not enabled",
    curator({}, spring(), spring({ address: "192.0.2.2", fields: { enabled: false } })),
    "http 8080 HTTP | 192.0.2.1 | out: disabled 192.0.2.2:8080",
  ],
  [
    "Curator: neither port",
    curator({}, spring({ fields: { port: null } }), spring(second)),
    "http 8080 HTTP | 192.0.2.2 | out: port 192.0.2.1:0",
  ],
  ["Dubbo 3 by application", curator({}, dubbo3([{ port: 20880, protocol: "dubbo" }])), `${DUBBO} | 192.0.2.1`],
  [
    "Dubbo 3 by application, with two protocols",
    curator(
      {},
      dubbo3([
        { port: 20880, protocol: "dubbo" },
        { port: 50051, protocol: "tri" },
      ]),
    ),
    `${DUBBO}, grpc-tri 50051 GRPC | 192.0.2.1`,
  ],
  [
    "Dubbo 3 by application, IPv6",
    curator({}, dubbo3([{ port: 50051, protocol: "tri" }], { address: "2001:db8::31" })),
    "grpc-tri 50051 GRPC | 2001:db8::31",
  ],
  [
    "Spring Cloud and Dubbo 3 under one name",
    curator({}, spring(), dubbo3([{ port: 20880, protocol: "dubbo" }], second)),
    `${DUBBO} | 192.0.2.2 | out: port 192.0.2.1:8080 ! port http is dropped: not all instances with port dubbo have it`,
  ],
];

function providerOf(provider: Provider): string {
  return decodeURIComponent(providerNode(provider));
}

for (const [name, entry, want] of shapes)
  test(`a registration becomes its entry: ${name}`, async () => assert.equal(await entry, want));

test("a registration's order says nothing, and each shape stands once", async () => {
  const names = [
    {},
    second,
    TRI,
    { ...second, params: { weight: 5, timestamp: 9 } },
    { address: "192.0.2.3", port: 1 },
  ];
  assert.equal(await dubbo({}, names.toReversed()), await dubbo({}, names));
  assert.equal(new Set(shapes.map(([name]) => name)).size, shapes.length);
});
