import { ConfigError } from "../../src/errors.ts";
import type { Adapter } from "../../src/model/adapter.ts";
import type { AdapterModule, ModuleContext, StandardIssue, StandardSchema } from "../contract.ts";
import { plain, plainError } from "../trust.ts";

/**
 * The adapter that a module makes of its options, as it stands.
 *
 * @throws {ConfigError} When the options do not pass the module's schema, or `create` throws or returns no adapter.
 */
export async function createFrom(module: AdapterModule, given: unknown, context: ModuleContext): Promise<Adapter> {
  const options = module.schema === undefined ? given : await checked(given, module.schema);
  let adapter: Adapter;
  try {
    adapter = await module.create(options, context);
  } catch (error) {
    throw new ConfigError(`options: ${plainError(error).message}`);
  }
  const wrong = faultOf(adapter, context.registry);
  if (wrong !== undefined) throw new ConfigError(`path: adapter.create must return an adapter ${wrong}`);
  return adapter;
}

async function checked(given: unknown, schema: StandardSchema): Promise<unknown> {
  let result: Awaited<ReturnType<StandardSchema["~standard"]["validate"]>>;
  try {
    // What is not written is an empty set of options: all may have defaults.
    result = await schema["~standard"].validate(given ?? {});
  } catch (error) {
    throw new ConfigError(`options: ${plainError(error).message}`);
  }
  if (result.issues === undefined) return result.value;
  throw new ConfigError(result.issues.map(sentenceOf).join("\n"));
}

function sentenceOf({ message, path = [] }: StandardIssue): string {
  const steps = path.map((step) => (typeof step === "object" ? step.key : step));
  const dotted = steps.map((step) => (typeof step === "number" ? `[${step}]` : `.${String(step)}`)).join("");
  return plain(`options${dotted}: ${message}`);
}

function faultOf(adapter: unknown, registry: string): string | undefined {
  if (typeof adapter !== "object" || adapter === null) return "object";
  const { registry: name, read, waitForChange, close } = adapter as Readonly<Record<keyof Adapter, unknown>>;
  if (name !== registry) return `of registry "${registry}"`;
  if (typeof read !== "function") return "that has the function read";
  for (const [method, value] of Object.entries({ waitForChange, close }))
    if (value !== undefined && typeof value !== "function") return `whose ${method} is a function, or absent`;
  return undefined;
}
