import type { BenchReport } from "../bench/report.js";
import { counted } from "../units.js";
import { gainsOf, headlineOf, hostBytesPerByte, type Gain, type Outcome } from "./gain.js";
import { html, type Markup } from "./markup.js";
import { bandwidth, change, digits, isKnown, ratio, time, UNKNOWN } from "./quantities.js";
import { pointWords } from "./words.js";

/** What peer-to-peer gained against the way through host memory: in a sentence, and in three figures. */
export function verdict(report: BenchReport): Markup {
  const { results } = report;
  const gains = gainsOf(results);
  const headline = headlineOf(gains);
  return html`<section class="verdict" aria-labelledby="verdict">
    <h2 id="verdict" class="visually-hidden">Verdict</h2>
    ${troubles(report).map((text) => html`<p><span class="badge bad">${text}</span></p>`)}
    ${
      headline === null
        ? html`<p class="lead">
            Nothing here says what peer-to-peer gains: no combination was measured both through peer
            memory and through host memory.
          </p>`
        : [lead(headline), tiles(headline), overall(gains)]
    }
  </section>`;
}

/** What must be known before any figure is believed. */
function troubles({ results, expectations, incomplete }: BenchReport): string[] {
  const of = (part: readonly unknown[], all: readonly unknown[], noun: string): string =>
    `${part.length} of ${counted(all.length, noun)}`;
  const failed = results.filter((result) => result.failed !== null);
  const wrong = results.filter(({ verify }) => (verify?.mismatches ?? 0) > 0);
  const missed = expectations.filter(({ outcome }) => outcome !== "pass");
  return [
    ...(incomplete ? ["Incomplete: the run ended early, these are the results until then"] : []),
    ...(wrong.length > 0 ? [`Wrong data in ${of(wrong, results, "result")}`] : []),
    ...(failed.length > 0 ? [`${of(failed, results, "result")} failed`] : []),
    ...(missed.length > 0 ? [`${of(missed, expectations, "expectation")} not met`] : []),
  ];
}

const VERBS: Record<Outcome, string> = {
  faster: "was faster than",
  slower: "was slower than",
  same: "was as fast, within the noise, as",
  unknown: "has no certain lead over",
};

function lead(gain: Gain): Markup {
  const { peer, outcome } = gain;
  return html`<p class="lead">
    With ${pointWords(peer)}, peer-to-peer <strong>${VERBS[outcome]}</strong> the way through host
    memory: ${sentence(gain)}
  </p>`;
}

/** `1.42 times the bytes a second (1.38 to 1.47), 12 % less driver time a block, …` */
function sentence(gain: Gain): string {
  const { peer, host, interval, cpu } = gain;
  const times = isKnown(gain.ratio) ? `${digits(gain.ratio)} times` : `${UNKNOWN} times`;
  const certainty = interval === null ? "no interval known" : intervalWords(interval);
  const bytes = [peer, host].map((result) => digits(hostBytesPerByte(result)));
  return (
    `${times} the bytes a second (${certainty}), ${driverWords(cpu)}, ` +
    `and ${bytes[0]!} bytes in host memory for each byte moved, against ${bytes[1]!}.`
  );
}

function driverWords(cpu: number | null): string {
  if (!isKnown(cpu)) return `${UNKNOWN} driver time a block`;
  const words = change(Math.abs(cpu));
  if (!words.startsWith("+")) return "the same driver time a block";
  return `${words.slice(1)} ${cpu < 0 ? "less" : "more"} driver time a block`;
}

function tiles({ peer, host, ratio: times, interval, cpu, outcome }: Gain): Markup {
  const shown = [
    {
      name: "Bandwidth",
      value: ratio(times),
      isGood: outcome === "faster" ? true : outcome === "slower" ? false : null,
      detail: `${bandwidth(peer.bw_bytes)} against ${bandwidth(host.bw_bytes)}`,
      more: interval === null ? "interval unknown" : intervalWords(interval),
    },
    {
      name: "Driver’s CPU time a block",
      value: change(cpu),
      isGood: null,
      detail: `${time(peer.cpu.busy_ns_per_block)} against ${time(host.cpu.busy_ns_per_block)}`,
      more: "empty polls left out",
    },
    {
      name: "Host memory, bytes a byte moved",
      value: digits(hostBytesPerByte(peer)),
      isGood: null,
      detail: `against ${digits(hostBytesPerByte(host))}`,
      more: trafficWords(peer.traffic.source, host.traffic.source),
    },
  ];
  return html`<dl class="tiles">
    ${shown.map(
      ({ name, value, isGood, detail, more }) =>
        html`<div class="tile">
          <dt>${name}</dt>
          <dd class="figure ${isGood === null ? "" : isGood ? "good" : "bad"}">${value}</dd>
          <dd>${detail}</dd>
          <dd class="muted">${more}</dd>
        </div>`,
    )}
  </dl>`;
}

/** Of all combinations, so that the headline does not stand for those that it is not of. */
function overall(gains: readonly Gain[]): Markup {
  return html`${gains.length > 1 ? html`<p>${counts(gains)}</p>` : null}
    <p class="muted">
      A ratio’s interval spans all that the intervals of both bandwidths allow; where it holds 1,
      the difference is within the noise.
    </p>`;
}

function counts(gains: readonly Gain[]): string {
  const number = (outcome: Outcome): number =>
    gains.filter((gain) => gain.outcome === outcome).length;
  const unknown = number("unknown");
  const ratios = gains.map((gain) => gain.ratio).filter(isKnown);
  return (
    `Of ${counted(gains.length, "combination")}, peer-to-peer was faster in ${number("faster")}, ` +
    `slower in ${number("slower")}, and within the noise in ${number("same")}` +
    (unknown === 0 ? "." : `; of ${unknown} it is not known.`) +
    (ratios.length === 0
      ? ""
      : ` Ratios go from ${ratio(Math.min(...ratios))} to ${ratio(Math.max(...ratios))}.`)
  );
}

function intervalWords([least, most]: readonly [number, number]): string {
  return `interval ${digits(least)} to ${digits(most)}`;
}

function trafficWords(...sources: readonly string[]): string {
  return [...new Set(sources)].join(" and ");
}
