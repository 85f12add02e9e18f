/** Values that nobody is to see: tokens and passwords of the configuration, and of the files that it names. */
export interface Secrets {
  /** Take note of a value. One of less than four characters is not masked: it would mask half of every text. */
  add(value: string | undefined): void;
  /**
   * The text with `[secret]` for each of the values, also where it stands URL-encoded, as base64 or in JSON, and where the text was cut
   * (`…`) within it.
   */
  mask(text: string): string;
}

const LEAST_LENGTH = 4;
/** Tokens that are rotated leave old ones behind; those that were noted first are forgotten. */
const MOST_VALUES = 1000;
const MASK = "[secret]";

/** Nothing is secret at first. */
export function createSecrets(): Secrets {
  const values = new Set<string>();
  let forms: readonly string[] = [];
  let pattern: RegExp | undefined;

  function change(): void {
    forms = [...new Set([...values].flatMap(formsOf))].sort((a, b) => b.length - a.length);
    pattern = new RegExp(forms.map((form) => form.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")).join("|"), "gi");
  }

  return {
    add(value) {
      if (value === undefined || value.length < LEAST_LENGTH || values.has(value)) return;
      values.add(value);
      const [oldest] = values;
      if (values.size > MOST_VALUES && oldest !== undefined) values.delete(oldest);
      change();
    },
    mask(text) {
      if (pattern === undefined) return text;
      return withoutCut(text.replace(pattern, MASK), forms);
    },
  };
}

function formsOf(value: string): readonly string[] {
  const base64 = Buffer.from(value).toString("base64");
  return [
    value,
    encodeURIComponent(value.toWellFormed()),
    base64,
    base64.replace(/=+$/, ""),
    base64.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, ""),
    JSON.stringify(value).slice(1, -1),
  ];
}

/** Where a text was cut in the middle of a value, the beginning of that would be left. */
function withoutCut(text: string, forms: readonly string[]): string {
  const parts = text.split("…");
  return parts.map((part, at) => (at === parts.length - 1 ? part : withoutEnd(part, forms))).join("…");
}

function withoutEnd(part: string, forms: readonly string[]): string {
  const words = part.trimEnd();
  for (const form of forms)
    for (let length = Math.min(form.length - 1, words.length); length >= LEAST_LENGTH; length--)
      if (words.endsWith(form.slice(0, length))) return `${words.slice(0, -length)}${MASK}`;
  return part;
}

/** Fields of options whose value is secret, whatever the kind of registry; what ends in `File` names a file. */
const SECRET_FIELD =
  /(?:token|password|passwd|passphrase|secret|credential|authorization|(?:api|access|private)[_-]?key)s?$/i;

/** Whether a field's value is secret. */
export function isSecretField(name: string): boolean {
  return SECRET_FIELD.test(name);
}

/** Take note of all secret values in options, at any depth. */
export function addSecretsOf(options: unknown, secrets: Secrets, isSecret = false, depth = 0): void {
  if (typeof options === "string" && isSecret) {
    secrets.add(options);
    secrets.add(options.replace(/^(?:Basic|Bearer) +/i, ""));
  }
  if (typeof options !== "object" || options === null || depth > 32) return;
  for (const [name, value] of Object.entries(options))
    addSecretsOf(value, secrets, SECRET_FIELD.test(name) || (isSecret && Array.isArray(options)), depth + 1);
}

/** Whether options have a secret, or the name of a file that holds one, at any depth. */
export function hasSecretField(options: unknown, depth = 0): boolean {
  if (typeof options !== "object" || options === null || depth > 32) return false;
  return Object.entries(options).some(
    ([name, value]) =>
      (typeof value === "string" && SECRET_FIELD.test(name.replace(/File$/, ""))) || hasSecretField(value, depth + 1),
  );
}
