// What environment variables hold: shared/variables.py for Node.

/** In seconds, thirty years. */
const MOST = 10 ** 9;

/** The number in this variable, or the usual one where it is unset or empty; a fraction only if `whole` is false.
 *
 * Exits with 1, and says why, unless it is greater than 0 and at most `MOST`.
 */
export function number(variable: string, usual: number, whole = true): number {
  const text = process.env[variable];
  if (!text) return usual;
  const written = whole ? /^[0-9]{1,10}$/ : /^[0-9]{1,10}(\.[0-9]+)?$/;
  const value = written.test(text) ? Number(text) : 0;
  if (value > 0 && value <= MOST) return value;
  console.error(
    `${variable} is '${text}': it must be a ${whole ? "whole " : ""}number greater than 0, and at most ` +
      `${MOST.toLocaleString("en-US")}.\nChange it, or unset it.`,
  );
  process.exit(1);
}

/** The value of this variable, or the first of these where it is unset or empty. Exits with 1 for another one. */
export function oneOf<Value extends string>(variable: string, values: readonly [Value, ...Value[]]): Value {
  const text = process.env[variable] || values[0];
  const value = values.find((each) => each === text);
  if (value !== undefined) return value;
  console.error(`${variable} is '${text}': it must be ${values.join(" or ")}.\nChange it, or unset it.`);
  process.exit(1);
}

/** The text in this variable, if any. A file with the newlines of Windows leaves one of them at its end. */
export const text = (variable: string): string | undefined => process.env[variable]?.trim() || undefined;

/** The same for a key. Exits with 1, and does not show it, if a header cannot hold it. */
export function secret(variable: string): string | undefined {
  const key = text(variable);
  if (!key || /^[\x21-\x7e]+$/.test(key)) return key;
  console.error(`${variable} has a character that no key has, such as a newline.\nCopy it again, or unset it.`);
  process.exit(1);
}
