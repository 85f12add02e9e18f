/** Lower case of A to Z alone: other letters may become one of these (U+212A, the sign of kelvin, a k). */
export function lowerCase(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
