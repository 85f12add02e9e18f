import { z } from "zod";
import { ReadError } from "../../src/errors.ts";

/** A namespace and a name, by which Polaris knows a service or an alias. */
export interface Name {
  readonly namespace: string;
  readonly name: string;
}

const text = z.string().nullish();
const name = z.object({ namespace: text, name: text });

// Wrappers of protobuf are null where nobody set them.
const instance = z.object({
  id: text,
  host: z.string(),
  port: z.number(),
  protocol: text,
  version: text,
  weight: z.number().nullish(),
  healthy: z.boolean().nullish(),
  isolate: z.boolean().nullish(),
  location: z.object({ region: text, zone: text, campus: text }).nullish(),
  metadata: z.record(z.string(), z.string()).nullish(),
});

const reply = z.object({
  code: z.int(),
  info: text,
  type: z.union([z.string(), z.number()]).nullish(),
  service: name.extend({ revision: text }).nullish(),
  instances: z.array(instance).nullish(),
  services: z.array(z.object({ namespace: z.string().min(1), name: z.string().min(1) })).nullish(),
  aliasFor: name.nullish(),
});

/** One instance of an answer, as far as it is used. */
export type RawInstance = z.output<typeof instance>;

/** An answer of `POST /v1/Discover`, as far as it is used. */
export interface Reply {
  readonly code: number;
  /** Whole sentence in a language of the server's choice. */
  readonly info: string;
  readonly type: string;
  /** The service that the answer is about; empty texts in an answer that lists services. */
  readonly about: Name;
  /** Empty when there is none. */
  readonly revision: string;
  readonly instances: readonly RawInstance[];
  readonly services: readonly Name[];
  /** What the answer's instances belong to: another name than `about` when that is an alias. */
  readonly aliasFor: Name | undefined;
}

/**
 * Read the body of an answer. Fields that are not used may be anything.
 *
 * @throws {ReadError} When it is no answer of Polaris.
 */
export function parseReply(body: Uint8Array): Reply {
  const result = reply.safeParse(json(body));
  if (!result.success) {
    const [issue] = result.error.issues;
    const path = issue?.path.join(".") ?? "";
    throw new ReadError("answer", `cannot be understood: ${path === "" ? "it" : path}: ${issue?.message ?? "unknown"}`);
  }
  const { code, info, type, service, instances, services, aliasFor } = result.data;
  return {
    code,
    info: info ?? "",
    type: `${type ?? ""}`,
    about: { namespace: service?.namespace ?? "", name: service?.name ?? "" },
    revision: service?.revision ?? "",
    instances: instances ?? [],
    services: services ?? [],
    aliasFor: aliasFor?.name ? { namespace: aliasFor.namespace ?? "", name: aliasFor.name } : undefined,
  };
}

const decoder = new TextDecoder("utf-8", { fatal: true });

function json(body: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(body));
  } catch (cause) {
    throw new ReadError("answer", "cannot be read as JSON", { cause });
  }
}
