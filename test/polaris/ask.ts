import { request } from "undici";
import type { Json } from "./forms.ts";

/** An answer of the server. */
export interface Asked {
  readonly status: number;
  readonly body: Json;
}

/** Send JSON, or nothing. @throws If there is no answer, or it is no JSON. */
export async function ask(
  address: string,
  path: string,
  {
    body,
    token,
    method = body === undefined ? "GET" : "POST",
  }: { body?: unknown; token?: string; method?: "GET" | "POST" | "PUT" } = {},
): Promise<Asked> {
  const headers = {
    ...(body === undefined ? {} : { "content-type": "application/json" }),
    ...(token === undefined ? {} : { "x-polaris-token": token }),
  };
  const answer = await request(address + path, {
    method,
    headers,
    body: body === undefined ? null : JSON.stringify(body),
  });
  return { status: answer.statusCode, body: (await answer.body.json()) as Json };
}

/** Ask for the instances of a service in namespace `default`. */
export function askInstances(address: string, name: string, service: Json = {}, token?: string): Promise<Asked> {
  const body = { type: "INSTANCE", service: { namespace: "default", name, ...service } };
  return ask(address, "/v1/Discover", { body, ...(token === undefined ? {} : { token }) });
}

/** Ask for the services of a namespace. */
export function askServices(address: string, namespace: string, token?: string): Promise<Asked> {
  const body = { type: "SERVICES", service: { namespace } };
  return ask(address, "/v1/Discover", { body, ...(token === undefined ? {} : { token }) });
}

/** Hosts of the instances of an answer, in its order. */
export const hostsOf = ({ body }: Asked): unknown[] => (body["instances"] as readonly Json[]).map(({ host }) => host);

/** Names of the services of an answer, sorted. */
export const namesOf = ({ body }: Asked): unknown[] =>
  (body["services"] as readonly Json[]).map(({ name }) => name).sort();

/** Revision of an answer. */
export const revisionOf = ({ body }: Asked): unknown => (body["service"] as Json)["revision"];
