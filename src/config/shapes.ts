import { z } from "zod";

/** A mapping that takes nothing but `shape`, and whose message for anything else names what it takes. */
export function mapping<Shape extends z.ZodRawShape>(shape: Shape) {
  const known = Object.keys(shape).join(", ");
  return z.strictObject(shape, {
    error: ({ code }) => (code === "unrecognized_keys" ? `is not an option; known here: ${known}` : undefined),
  });
}

/** Refuse what is listed twice. */
export function unique<Item>(items: readonly Item[], context: z.RefinementCtx<readonly Item[]>): void {
  items.forEach((item, index) => {
    const text = JSON.stringify(item);
    if (items.findIndex((other) => JSON.stringify(other) === text) < index)
      context.addIssue({ code: "custom", path: [index], message: `is listed twice` });
  });
}
