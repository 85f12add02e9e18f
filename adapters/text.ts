import { plainText } from "../src/text.ts";

/** Text of a registry within a sentence: one line, not too long, and without what cannot be seen. */
export function shorten(value: string, most = 120): string {
  return plainText(value, most, "?");
}

/** At most `most` texts, and a last one that says how many there would be besides. */
export function few(texts: readonly string[], most: number, further: (count: number) => string): readonly string[] {
  return texts.length <= most ? texts : [...texts.slice(0, most), further(texts.length - most)];
}
