import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { Agent, request as httpRequest } from "undici";
import { parse } from "yaml";

/** Options of one request. */
export interface AdminRequest {
  /** Of the body; application/json, or for PATCH application/merge-patch+json. */
  readonly contentType?: string;
  /** Whose request it is; the administrator's by default. */
  readonly token?: string;
}

/** Answer of the API server; JSON is parsed, all else is a string. */
export interface AdminResponse<Body> {
  readonly status: number;
  readonly body: Body;
}

/** A client of the API server that has all rights. */
export interface Admin {
  /**
   * Send a request; a body that is a string goes out as it is. An error status is an answer like any other.
   *
   * @throws When no answer comes.
   */
  request<Body = unknown>(
    method: string,
    path: string,
    body?: unknown,
    options?: AdminRequest,
  ): Promise<AdminResponse<Body>>;
  close(): Promise<void>;
}

/** A client of the API server at `url` whose certificate is signed by a CA in `caFile`, or is in it. */
export async function adminClient(url: string, caFile: string, adminToken: string): Promise<Admin> {
  const agent = new Agent({ connect: { ca: await readFile(caFile, "utf8") } });
  return {
    async request<Body>(method: string, path: string, body?: unknown, options: AdminRequest = {}) {
      const headers: Record<string, string> = {
        accept: "application/json",
        authorization: `Bearer ${options.token ?? adminToken}`,
        "user-agent": "test-admin",
      };
      if (body !== undefined) {
        headers["content-type"] =
          options.contentType ?? (method === "PATCH" ? "application/merge-patch+json" : "application/json");
      }
      const response = await httpRequest(new URL(path, url), {
        method: method as "GET", // the type lists methods; any is meant
        headers,
        body: body === undefined || typeof body === "string" ? (body ?? null) : JSON.stringify(body),
        dispatcher: agent,
      });
      const text = await response.body.text();
      const isJson = String(response.headers["content-type"]).startsWith("application/json");
      return { status: response.statusCode, body: (isJson ? JSON.parse(text) : text) as Body };
    },
    close: () => agent.destroy(),
  };
}

/**
 * Wait until `isTrue` says so; what it throws counts as no.
 *
 * @throws After `timeoutMs`, naming `what` and the last thing thrown.
 */
export async function until(what: string, isTrue: () => Promise<boolean>, timeoutMs = 120_000): Promise<void> {
  const deadlineMs = Date.now() + timeoutMs;
  let cause: unknown;
  while (Date.now() < deadlineMs) {
    try {
      if (await isTrue()) return;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    await sleep(25);
  }
  throw new Error(`Waited ${timeoutMs} ms in vain until ${what}`, { cause });
}

interface Definition {
  readonly spec: {
    readonly group: string;
    readonly names: { readonly plural: string };
    readonly versions: readonly { readonly name: string; readonly served: boolean }[];
  };
}

/**
 * Create the custom resource definitions in a YAML file and wait until each served version of each answers and is
 * listed in discovery.
 *
 * @throws When one is refused or does not come up.
 */
export async function installDefinitions(admin: Pick<Admin, "request">, file: string): Promise<void> {
  const documents = (await readFile(file, "utf8")).split(/^---$/m).filter((document) => /^kind:/m.test(document));
  const path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  const create = async (document: string, attempt = 1): Promise<Definition["spec"]> => {
    const { status, body } = await admin.request<Definition>("POST", path, document, {
      contentType: "application/yaml",
    });
    if (status === 201) return body.spec;
    // A busy machine does not get ready in time with so many at once, and may have done it or not.
    if (status === 504 && attempt < 4) return create(document, attempt + 1);
    if (status === 409 && attempt > 1) return (parse(document) as Definition).spec;
    throw new Error(`Cannot create a definition of ${file}: ${status} ${JSON.stringify(body)}`);
  };
  const created = await Promise.all(documents.map((document) => create(document)));
  const plurals = new Map<string, string[]>();
  for (const { group, names, versions } of created)
    for (const { name } of versions.filter(({ served }) => served)) {
      const at = `/apis/${group}/${name}`;
      plurals.set(at, [...(plurals.get(at) ?? []), names.plural]);
    }
  await Promise.all(
    [...plurals].map(([at, wanted]) =>
      until(`${wanted} are served at ${at}`, () => areServed(admin, at, wanted), 90_000),
    ),
  );
}

async function areServed(admin: Pick<Admin, "request">, path: string, plurals: readonly string[]): Promise<boolean> {
  const { status, body } = await admin.request<{ readonly resources?: readonly { readonly name: string }[] }>(
    "GET",
    path,
  );
  const listed = new Set((body.resources ?? []).map(({ name }) => name));
  if (status !== 200 || !plurals.every((plural) => listed.has(plural))) return false;
  const lists = await Promise.all(plurals.map((plural) => admin.request("GET", `${path}/${plural}?limit=1`)));
  return lists.every((list) => list.status === 200);
}
