import {
  aliasForm,
  batchForm,
  instanceForm,
  type Json,
  OWNER,
  responseForm,
  SERVICE_TOKEN,
  serviceForm,
} from "./forms.ts";
import type { Registry } from "./registry.ts";
import { refusal, requestedInstance } from "./requested.ts";
import { keyOf } from "./store.ts";

/** Namespaces in which an L5 sid can be made, with the number that its lowest six bits have. */
const LAYOUTS: Readonly<Record<string, number>> = {
  Production: 1,
  Development: 2,
  "Pre-release": 3,
  Test: 4,
  Polaris: 5,
  default: 6,
};

const FIRST_MODULE = 3_000_001;

const text = (value: unknown): string => (typeof value === "string" ? value : "");

type Change = (registry: Registry, item: Json) => Json;

const createService: Change = (registry, { name, namespace, ...fields }) => {
  const { id } = registry.setService(text(namespace), text(name), { ...fields, owners: OWNER });
  const made = serviceForm({ name, namespace, token: SERVICE_TOKEN, id });
  return responseForm(200000, { service: made });
};

const updateService: Change = (registry, { name, namespace, ...fields }) => {
  if (!registry.store.services.has(keyOf(text(namespace), text(name)))) return responseForm(400202);
  registry.setService(text(namespace), text(name), fields);
  return responseForm(200000, { service: serviceForm({ name, namespace, ...fields }) });
};

const deleteService: Change = (registry, { name, namespace }) => {
  const service = registry.store.services.get(keyOf(text(namespace), text(name)));
  const inUse = (service?.instances.size ?? 0) > 0;
  if (!inUse) registry.deleteService(text(namespace), text(name));
  return responseForm(inUse ? 400204 : 200000, { service: serviceForm({ name, namespace }) });
};

const createInstance: Change = (registry, item) => {
  const { instance, echo } = requestedInstance(item);
  const code = refusal(instance);
  if (code !== undefined) return responseForm(code, { instance: instanceForm({ ...item }) });
  const id = registry.register(instance, OWNER);
  return responseForm(200000, { instance: instanceForm({ id, ...echo }) });
};

const updateInstance: Change = (registry, item) => {
  const { id, instance } = requestedInstance(item);
  if (registry.find(id) === undefined) return responseForm(400202, { instance: instanceForm({ id, ...item }) });
  const { namespace: _n, service: _s, host: _h, port: _p, vpcId: _v, ...fields } = instance;
  registry.update(id, fields);
  return responseForm(200000, { instance: instanceForm({ ...item, id }) });
};

const deleteInstance: Change = (registry, item) => {
  const { id } = requestedInstance(item);
  registry.deregister(id);
  return responseForm(200000, { instance: instanceForm({ ...item, id }) });
};

function nextSid({ store }: Registry, layout: number): string {
  const sids = [...store.aliases.values()].filter(({ name }) => /^\d+:\d+$/.test(name)).length;
  return `${FIRST_MODULE * 64 + layout}:${(sids + 1) * 65536 + 1}`;
}

const createAlias: Change = (registry, { service, namespace, alias, alias_namespace, type }) => {
  const of = { namespace: text(namespace), name: text(service) };
  const said = { service, namespace, alias: alias ?? null, alias_namespace };
  if (!registry.store.services.has(keyOf(of.namespace, of.name)))
    return responseForm(400202, { alias: aliasForm({ ...said, type: type ?? "DEFAULT" }) });
  const layout = LAYOUTS[text(alias_namespace)];
  if (type === "CL5SID" && layout === undefined)
    return responseForm(400134, { alias: aliasForm({ ...said, type, owners: OWNER }) });
  const name = type === "CL5SID" && layout !== undefined ? nextSid(registry, layout) : text(alias);
  registry.createAlias({ namespace: text(alias_namespace), name }, of, OWNER);
  return responseForm(200000, { alias: aliasForm({ ...said, alias: name, service_token: SERVICE_TOKEN }) });
};

const deleteAlias: Change = (registry, { alias, alias_namespace }) => {
  registry.deleteAlias({ namespace: text(alias_namespace), name: text(alias) });
  return responseForm(200000, { alias: aliasForm({ alias, alias_namespace }) });
};

const BATCHES: Readonly<Record<string, Change>> = {
  "POST services": createService,
  "PUT services": updateService,
  "POST services/delete": deleteService,
  "POST instances": createInstance,
  "PUT instances": updateInstance,
  "POST instances/delete": deleteInstance,
  "POST service/aliases/delete": deleteAlias,
};

/** Make the change that a request to `/naming/v1/<list>` asks for; undefined if there is no such path. */
export function changeByConsole(
  list: string,
  { method, body, registry }: { readonly method: string; readonly body: unknown; readonly registry: Registry },
): Json | undefined {
  if (method === "POST" && list === "service/alias") return createAlias(registry, body as Json);
  const change = BATCHES[`${method} ${list}`];
  if (change === undefined) return undefined;
  return Array.isArray(body) ? batchForm(body.map((item: Json) => change(registry, item))) : responseForm(400001);
}
