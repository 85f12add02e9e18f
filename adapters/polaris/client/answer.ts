import { ReadError } from "../../../src/errors.ts";
import { failureOfStatus } from "../../http-status.ts";
import { shorten } from "../../text.ts";
import type { Head } from "./exchange.ts";
import type { Name, Reply } from "./reply.ts";

/** A question to Polaris. With `revision` it is answered only if that is not the newest. */
export type Question =
  | { readonly type: "INSTANCE"; readonly name: Name; readonly revision: string }
  /** An empty namespace means all. */
  | { readonly type: "SERVICES"; readonly namespace: string; readonly revision: string };

/** What Polaris says: something whole, that nothing is new, or that there is no such service. */
export type Answer =
  | { readonly state: "ok"; readonly reply: Reply }
  | { readonly state: "unchanged" }
  | { readonly state: "absent" };

const UNCHANGED = 200001;
const OK = 200000;
const ABSENT = 400202;
const TOO_MANY: ReadonlySet<number> = new Set([403003, 429001, 429002]);

/** A refusal of Polaris as one too many. */
export class BusyError extends ReadError {}

/** The body of an answer. */
export interface AnswerBodyReader {
  readonly reply: () => Promise<Reply>;
  /** A server may send back what it was sent. */
  readonly mask: (text: string) => string;
}

/** What an answer says. @throws {ReadError} When it is none to the question. */
export async function judged(
  { status, headers }: Head,
  question: Question,
  { reply: parse, mask }: AnswerBodyReader,
): Promise<Answer> {
  // The header saves reading the body, which has nothing else to say.
  if (status === 200 && headers["x-polaris-code"] === `${UNCHANGED}`) return unchanged(question);
  const reply = await replyOf(status, parse);
  if (reply.code === UNCHANGED) return unchanged(question);
  if (reply.code === ABSENT && question.type === "INSTANCE") return { state: "absent" };
  if (reply.code !== OK || status !== 200) throw refusal({ ...reply, info: mask(reply.info) }, status);
  const { about } = reply;
  const asked = question.type === "INSTANCE" ? question.name : { namespace: question.namespace, name: about.name };
  if (reply.type !== question.type || about.name !== asked.name || about.namespace !== asked.namespace)
    throw new ReadError("answer", `is about ${shorten(`${reply.type} of ${about.namespace}/${about.name}`)}`);
  if (question.type === "SERVICES" && question.namespace !== "") {
    const stray = reply.services.find(({ namespace }) => namespace !== question.namespace);
    if (stray !== undefined) throw new ReadError("answer", `lists a service of namespace ${shorten(stray.namespace)}`);
  }
  return { state: "ok", reply };
}

function unchanged({ revision }: Question): Answer {
  if (revision === "") throw new ReadError("answer", "says that nothing has changed, though no revision was sent");
  return { state: "unchanged" };
}

/** An error status with a body that is not Polaris's is one of something on the way. */
async function replyOf(status: number, parse: () => Promise<Reply>): Promise<Reply> {
  try {
    return await parse();
  } catch (cause) {
    if (status === 200) throw cause;
    const message = `has status ${status}`;
    throw status === 429 ? new BusyError("server", message) : new ReadError(failureOfStatus(status), message);
  }
}

function refusal({ code, info }: Reply, status: number): ReadError {
  const message = `has code ${code}${info === "" ? "" : `: ${shorten(info)}`}`;
  if (TOO_MANY.has(code)) return new BusyError("server", message);
  return new ReadError(failureOfStatus(code === OK ? status : Math.floor(code / 1000)), message);
}
