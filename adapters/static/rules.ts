import { MAX_ENDPOINTS, MAX_PORTS } from "../../src/istio/limits.ts";

/** Something wrong inside one item, at a path within it. */
export interface Problem {
  readonly path: readonly PropertyKey[];
  /** `must be 1–65535, is 70000` */
  readonly message: string;
  /** The key itself is wrong, not its value. */
  readonly ofKey?: true;
}

const CHECKED_OVER_TLS = ["HTTPS", "TLS"];

/** What must hold between the fields of an item. Works on an item whose form may be wrong, so that everything is said at once. */
export function brokenRules(item: unknown): Problem[] {
  const fields = record(item);
  const ports = list(fields.ports).map(record);
  return [
    ...repeated(ports, "name"),
    ...repeated(ports, "number"),
    ...strangePorts(list(fields.endpoints), ports),
    ...checkProblems(fields.check, ports),
  ];
}

function repeated(ports: readonly Fields[], field: "name" | "number"): Problem[] {
  const values = ports.map((port) => port[field]);
  return values.flatMap((value, index) => {
    const first = values.indexOf(value);
    if (typeof value !== "string" || first === index) return [];
    return [
      { path: ["ports", index, field], message: `must be unique in the service, is ${value} like ports[${first}]` },
    ];
  });
}

function strangePorts(endpoints: readonly unknown[], ports: readonly Fields[]): Problem[] {
  const names = new Set(ports.map((port) => port.name));
  return endpoints.flatMap((endpoint, index) =>
    Object.keys(record(record(endpoint).ports))
      .filter((name) => !names.has(name))
      .map((name) => ({
        ofKey: true,
        path: ["endpoints", index, "ports", name],
        message: `must name a port of the service (${[...names].join(", ")})`,
      })),
  );
}

function checkProblems(value: unknown, ports: readonly Fields[]): Problem[] {
  if (value === undefined || value === null || typeof value !== "object") return [];
  const check = record(value);
  if ((check.tcp === undefined) === (check.http === undefined))
    return [{ path: ["check"], message: "must have either tcp or http" }];
  const [path, name] =
    check.http === undefined ? [["check", "tcp"], check.tcp] : [["check", "http", "port"], record(check.http).port];
  if (typeof name !== "string") return [];
  const port = ports.find((one) => one.name === name);
  if (port === undefined)
    return [
      { path, message: `must name a port of the service (${ports.map((one) => one.name).join(", ")}), is ${name}` },
    ];
  const protocol = String(port.protocol).toUpperCase();
  if (protocol === "UDP") return [{ path, message: `must name a port that takes connections, is ${name} (udp)` }];
  if (check.http === undefined || !CHECKED_OVER_TLS.includes(protocol)) return [];
  return [
    { path, message: `must name a port of plain HTTP, is ${name} (${protocol.toLowerCase()}): check it with tcp` },
  ];
}

type Fields = Readonly<Record<string, unknown>>;

function record(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Told before the schema walks the lists: through aliases a short file can hold long ones. */
export function tooMany(item: unknown): Problem[] {
  const limits = Object.entries({ ports: MAX_PORTS, endpoints: MAX_ENDPOINTS });
  return limits.flatMap(([field, most]) => {
    const list = (item as Readonly<Record<string, unknown>> | null)?.[field];
    return Array.isArray(list) && list.length > most
      ? [{ path: [field], message: `must be at most ${most} (Istio's limit), are ${list.length}` }]
      : [];
  });
}
