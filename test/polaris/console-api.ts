import type { Right } from "./client-api.ts";
import { changeByConsole } from "./console-changes.ts";
import { fullInstance, fullService, sorted } from "./discover.ts";
import {
  aliasForm,
  infoOf,
  type Json,
  listForm,
  namespaceForm,
  OWNER,
  responseForm,
  SERVICE_TOKEN,
  serviceForm,
} from "./forms.ts";
import type { Registry } from "./registry.ts";
import type { Instance, Store, StoredService } from "./store.ts";

/** One request to the console API. */
export interface ConsoleCall {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: unknown;
  readonly right: Right | undefined;
  readonly tokens: ReadonlyMap<string, Right>;
  readonly registry: Registry;
}

const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  services: [
    ..."name namespace business department cmdb_mod1 cmdb_mod2 cmdb_mod3 owner offset limit platform_id".split(" "),
    ..."only_exist_health_instance host port keys values instance_keys instance_values".split(" "),
  ],
  instances: [
    ..."id service namespace host port keys values protocol version health_status healthy isolate weight".split(" "),
    ..."logic_set cmdb_region cmdb_zone cmdb_idc priority offset limit".split(" "),
  ],
  namespaces: ["name", "offset", "limit"],
  "service/aliases": ["alias", "alias_namespace", "service", "namespace", "owner", "offset", "limit"],
};

const MOST_OF_A_PAGE = 100;

const invalid = (why?: string): Json =>
  listForm(400103, why === undefined ? {} : { info: `${infoOf(400103)}: ${why}` });

function paged<Item>(items: readonly Item[], query: URLSearchParams): readonly Item[] {
  const offset = Number(query.get("offset") ?? 0);
  return items.slice(offset, offset + Math.min(Number(query.get("limit") ?? MOST_OF_A_PAGE), MOST_OF_A_PAGE));
}

const counts = ({ instances }: StoredService) => {
  const healthy = [...instances.values()].filter((instance) => instance.healthy && !instance.isolate).length;
  return { total_instance_count: instances.size, healthy_instance_count: healthy };
};

function matches(query: URLSearchParams, name: string, value: string): boolean {
  const wanted = query.get(name);
  if (wanted === null) return true;
  return wanted.endsWith("*") ? value.startsWith(wanted.slice(0, -1)) : value === wanted;
}

function services({ services }: Store, query: URLSearchParams): Json {
  const found = [...services.values()]
    .filter(({ namespace, name }) => matches(query, "namespace", namespace) && matches(query, "name", name))
    .sort((a, b) => b.mtime.localeCompare(a.mtime) || a.id.localeCompare(b.id));
  const page = paged(found, query).map((service) => ({ ...fullService(service), ...counts(service) }));
  return listForm(200000, { amount: found.length, size: page.length, services: page });
}

function allServices({ services }: Store, query: URLSearchParams): Json {
  const found = [...services.values()].filter(({ namespace }) => matches(query, "namespace", namespace));
  const listed = found.map((one) => serviceForm({ name: one.name, namespace: one.namespace, ...counts(one) }));
  return listForm(200000, { amount: listed.length, size: listed.length, services: listed });
}

function consoleInstance(instance: Instance): Json {
  const { version: _v, protocol: _p, region: _r, zone: _z, campus: _c, ...metadata } = instance.metadata;
  return { ...fullInstance(instance), metadata: sorted(metadata), service_token: SERVICE_TOKEN };
}

function instances({ services }: Store, query: URLSearchParams): Json {
  if (![...query.keys()].some((name) => name !== "offset" && name !== "limit")) return listForm(400104);
  const found = [...services.values()]
    .flatMap((service) => [...service.instances.values()])
    .filter(
      (instance) => matches(query, "namespace", instance.namespace) && matches(query, "service", instance.service),
    )
    .filter((instance) => matches(query, "host", instance.host) && matches(query, "port", String(instance.port)))
    .filter((instance) => matches(query, "healthy", String(instance.healthy)))
    .filter((instance) => matches(query, "isolate", String(instance.isolate)))
    .sort((a, b) => b.changed - a.changed);
  const page = paged(found, query).map(consoleInstance);
  return listForm(200000, { amount: found.length, size: page.length, instances: page });
}

function namespaces(store: Store, query: URLSearchParams): Json {
  const found = [...store.namespaces.values()]
    .filter(({ name }) => matches(query, "name", name))
    .sort((a, b) => b.changed - a.changed || (a.name < b.name ? -1 : 1));
  const page = paged(found, query).map((namespace) => {
    const of = [...store.services.values()].filter((service) => service.namespace === namespace.name).map(counts);
    const sum = (field: keyof ReturnType<typeof counts>) => of.reduce((all, one) => all + one[field], 0);
    const { name, comment, owners, ctime } = namespace;
    const total = { total_service_count: of.length, total_health_instance_count: sum("healthy_instance_count") };
    const rest = { total_instance_count: sum("total_instance_count"), id: name, editable: true, deleteable: true };
    return namespaceForm({ name, comment, owners, ctime, mtime: ctime, ...total, ...rest });
  });
  const fields = ["total_service_count", "total_health_instance_count", "total_instance_count"];
  const total = (field: string) => page.reduce((all, namespace) => all + Number(namespace[field]), 0);
  const summary = Object.fromEntries(fields.map((field) => [field, total(field)]));
  return listForm(200000, { amount: found.length, size: page.length, namespaces: page, summary });
}

function aliases(store: Store, query: URLSearchParams): Json {
  const found = [...store.aliases.values()].sort((a, b) => b.changed - a.changed);
  const page = paged(found, query).map(({ id, namespace, name, target, owners, ctime }) => {
    const service = [...store.services.values()].find((one) => one.id === target);
    const of = { service: service?.name, namespace: service?.namespace, alias: name, alias_namespace: namespace };
    const rest = { owners, comment: "", ctime, mtime: ctime, id, editable: false, deleteable: false };
    return aliasForm({ ...of, ...rest });
  });
  return listForm(200000, { amount: found.length, size: page.length, aliases: page });
}

const LISTS: Readonly<Record<string, (store: Store, query: URLSearchParams) => Json>> = {
  services,
  instances,
  namespaces,
  "service/aliases": aliases,
};

function look(list: string, { query, registry: { store } }: ConsoleCall): Json | undefined {
  if (list === "services/count") return listForm(200000, { amount: store.services.size });
  if (list === "services/all") return allServices(store, query);
  const allowed = ALLOWED[list];
  if (allowed === undefined) return undefined;
  const odd = [...query.keys()].find((name) => !allowed.includes(name));
  if (odd !== undefined) return invalid(`${odd} is not allowed`);
  if (!/^\d*$/.test(query.get("offset") ?? "") || !/^\d*$/.test(query.get("limit") ?? "")) return invalid();
  return LISTS[list]?.(store, query);
}

function logIn({ body, tokens }: ConsoleCall): Json {
  const { name, password } = body as { readonly name?: unknown; readonly password?: unknown };
  const token = [...tokens].find(([, right]) => right === "full")?.[0];
  if (name !== "polaris" || password !== "polaris" || token === undefined) return responseForm(401001);
  const user = { user_id: OWNER, name, role: "main", owner_id: "", token, options: {} };
  return responseForm(200000, { loginResponse: user });
}

/** Answer a request to the console API; undefined if there is no such path. */
export function answerConsole(call: ConsoleCall): Json | undefined {
  const { method, path, right = "none" } = call;
  if (method === "POST" && path === "/core/v1/user/login") return logIn(call);
  const list = /^\/naming\/v1\/(.+)$/.exec(path)?.[1];
  if (list === undefined) return undefined;
  if (method !== "GET") return right === "full" ? changeByConsole(list, call) : responseForm(401001);
  if (right === "none") return listForm(401001);
  const answer = look(list, call);
  const unseen = { amount: 0, size: 0, services: [], instances: [], aliases: [], namespaces: [], summary: null };
  return right === "full" || answer?.["code"] !== 200000 ? answer : { ...answer, ...unseen };
}
