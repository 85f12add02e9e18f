import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type Json, parsedJson, wireText } from "./forms.ts";
import { type Answer, listen, send } from "./serve.ts";

/** An HTTP exchange with a real server. */
export interface Recording {
  readonly name: string;
  readonly description: string;
  readonly request: {
    readonly method: string;
    /** With the query. */
    readonly path: string;
    readonly headers: Readonly<Record<string, string>>;
    /** Parsed JSON; text where the request was none. */
    readonly body: unknown;
  };
  readonly response: {
    /** Null: the connection was closed without an answer. */
    readonly status: number | null;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: unknown;
  };
}

const folder = join(import.meta.dirname, "../fixtures/polaris");

/** Names of all recordings, in the order in which they were made. */
export function recordingNames(): string[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith(".json"))
    .map((file) => file.slice(0, -".json".length))
    .sort();
}

/** One file of the recordings as it is. */
export function recordingFile(name: string): Json {
  return JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8")) as Json;
}

/** An HTTP exchange by name. @throws If the recording is of another protocol. */
export function recording(name: string): Recording {
  const file = recordingFile(name);
  if ((file["request"] as Json | undefined)?.["method"] === undefined)
    throw new Error(`Cannot use "${name}" as an HTTP exchange: it is one of another protocol`);
  return file as unknown as Recording;
}

/** The bytes of a recorded body. */
export function recordedText({ response: { body } }: Recording): string {
  return typeof body === "string" ? body : wireText(body);
}

/** A server that answers with recordings. */
export interface Recorded {
  /** `http://127.0.0.1:<port>` */
  readonly address: string;
  /** Names of what was answered, oldest first; undefined where nothing fitted and 404 was the answer. */
  readonly served: readonly (string | undefined)[];
  stop(): Promise<void>;
}

const asked = (body: unknown) => {
  const { type, service } = (typeof body === "object" && body !== null ? body : {}) as Json;
  const { namespace = "", name = "", revision } = (service ?? {}) as Json;
  return { what: type === undefined ? body : { type: type === 1 ? "INSTANCE" : type, namespace, name }, revision };
};

/** The first of the recordings that fits best: one that asks with the same revision, else one that sends none. */
function fitting(list: readonly Recording[], method: string, path: string, body: unknown): Recording | undefined {
  const { what, revision } = asked(body);
  const same = list.filter(
    ({ request }) =>
      request.method === method && request.path === path && isDeepStrictEqual(asked(request.body).what, what),
  );
  return (
    same.find(({ request }) => asked(request.body).revision === revision) ??
    same.find(({ request }) => asked(request.body).revision === undefined)
  );
}

function answerOf({ response }: Recording, body: string): Answer {
  const { Date: _date, Connection: _connection, "Content-Length": _length, ...rest } = response.headers;
  const { "Transfer-Encoding": _encoding, ...headers } = rest;
  return { status: response.status ?? 0, headers, body };
}

/**
 * Serve recorded answers, byte for byte, to requests that ask for the same.
 *
 * Among several that fit, each is served once in the order given, and the last from then on. Header fields of the
 * request do not matter, nor do revisions that no recording asks with.
 */
export async function startRecorded(names: readonly string[]): Promise<Recorded> {
  const left = names.map(recording);
  const used: Recording[] = [];
  const served: (string | undefined)[] = [];
  const server = await listen(({ method = "", url = "" }, text, response) => {
    const body = text === "" ? null : parsedJson(text);
    const fresh = fitting(left, method, url, body);
    const found = fresh ?? fitting(used, method, url, body);
    served.push(found?.name);
    if (fresh !== undefined) used.unshift(...left.splice(left.indexOf(fresh), 1));
    if (found === undefined) return send(response, { status: 404, headers: {}, body: "404: Page Not Found" });
    if (found.response.status === null) return void response.destroy();
    return send(response, answerOf(found, recordedText(found)));
  });
  return { address: server.address, served, stop: server.stop };
}
