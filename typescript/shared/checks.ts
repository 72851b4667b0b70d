// The three checks of a claim: the rules and tables of shared/checks.py. tests/vectors.test.ts compares both.

import type { InsuranceClaim } from "./claims.ts";

const POLICY_START = "2020-01-01";
const TOLERANCE = 0.2;
const [MEDIUM_RISK, HIGH_RISK] = [30, 60];

const STANDARD_RATES = new Map([
  ["cardiology", 8_000],
  ["dental", 600],
  ["emergency", 5_000],
  ["orthopedic", 3_200],
  ["physiotherapy", 400],
  ["vision", 300],
]);
const PLACES = new Map([
  ["general hospital", "hospital"],
  ["st. mary hospital", "hospital"],
  ["city clinic", "clinic"],
  ["riverside dental practice", "practice"],
  ["main street practice", "practice"],
]);
const TREATED_AT = new Map([
  ["cardiology", ["hospital"]],
  ["dental", ["practice", "clinic"]],
  ["emergency", ["hospital"]],
  ["orthopedic", ["hospital", "clinic"]],
  ["physiotherapy", ["clinic", "practice"]],
  ["vision", ["clinic", "practice"]],
]);

const CENTS = new Intl.NumberFormat("en-US", {
  minimumFractionDigits: 2,
  maximumFractionDigits: 2,
  roundingMode: "halfEven",
});
/** Rounds like Python's `,.2f`, by the exact value of the number: 1.005 is stored as slightly less. */
const dollars = (amount: number) => CENTS.format(amount.toFixed(40) as `${number}`);

/** `eligible`, or `not eligible: <why>`: is this treatment covered, at this place, on this day? */
export async function checkEligibility(claim: InsuranceClaim): Promise<string> {
  const category = claim.category.toLowerCase();
  const place = PLACES.get(claim.placeOfService.toLowerCase());
  const treatedAt = TREATED_AT.get(category);
  if (claim.date < POLICY_START) return `not eligible: the treatment was before the policy began on ${POLICY_START}`;
  if (!treatedAt) return "not eligible: the category is not covered";
  if (!place) return "not eligible: the place of service is not under contract";
  if (!treatedAt.includes(place)) return `not eligible: a ${place} does not treat ${category} claims`;
  return "eligible";
}

/** `reasonable`, or `above standard rates: by <US dollars> (<why>)`. */
export async function compareToStandardRates({ category, amount }: InsuranceClaim): Promise<string> {
  const rate = STANDARD_RATES.get(category.toLowerCase());
  if (rate === undefined) {
    return `above standard rates: by ${dollars(amount)} USD (no rate is set for this category)`;
  }
  if (amount > rate * (1 + TOLERANCE)) {
    return `above standard rates: by ${dollars(amount - rate)} USD (the rate is ${dollars(rate)} USD)`;
  }
  return "reasonable";
}

/** `low risk: <why>`, `medium risk: <why>` or `high risk: <why>`, from the signals and their score. */
export async function checkFraud({ date, category, amount, placeOfService }: InsuranceClaim): Promise<string> {
  const rate = STANDARD_RATES.get(category.toLowerCase()) ?? 0;
  const sunday = new Date(`${date}T00:00:00Z`).getUTCDay() === 0;
  const signals: [string, number, boolean][] = [
    ["a round amount of 5,000 USD or more", 30, amount >= 5_000 && amount % 1_000 === 0],
    ["more than three times the standard rate", 40, amount > 3 * rate],
    ["a Sunday outside a hospital", 30, sunday && PLACES.get(placeOfService.toLowerCase()) !== "hospital"],
  ];
  const found = signals.filter(([, , holds]) => holds);
  const score = found.reduce((sum, [, points]) => sum + points, 0);
  const risk = score >= HIGH_RISK ? "high" : score >= MEDIUM_RISK ? "medium" : "low";
  return `${risk} risk: ${found.map(([signal]) => signal).join(", ") || "no signals"} (score ${score})`;
}

/** One check: the name of its tool, a sentence about it for a model, and the function that does it.
 *
 * A specialist agent who has this check (specialists.ts) has a name, and reports on a topic.
 */
export type Check = {
  tool: string;
  description: string;
  work: (claim: InsuranceClaim) => Promise<string>;
  specialty: string;
  topic: string;
};

/** All checks by the names of their durable steps, in the order of a report. Tools, services and specialists follow this table. */
export const CHECKS = {
  eligibility: {
    tool: "check_eligibility",
    description: "Is the treatment covered, at this place, on this day?",
    work: checkEligibility,
    specialty: "medical",
    topic: "medical necessity",
  },
  cost: {
    tool: "compare_to_standard_rates",
    description: "Is the amount reasonable?",
    work: compareToStandardRates,
    specialty: "cost",
    topic: "cost",
  },
  fraud: {
    tool: "check_fraud",
    description: "How high is the risk of fraud?",
    work: checkFraud,
    specialty: "fraud",
    topic: "risk of fraud",
  },
} as const satisfies Record<string, Check>;

export type CheckName = keyof typeof CHECKS;
export const CHECK_NAMES = Object.keys(CHECKS) as CheckName[];

/** The results of `of` for each check, by the check's name. */
export const eachCheck = <T>(of: (name: CheckName, check: Check) => T) =>
  Object.fromEntries(CHECK_NAMES.map((name) => [name, of(name, CHECKS[name])])) as Record<CheckName, T>;
