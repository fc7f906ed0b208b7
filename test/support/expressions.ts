import fc from "fast-check";
import {
  FUNCTIONS,
  namesIn,
  UNITS,
  type Expression,
  type Operator,
} from "#lib/bench/expect/expression.js";
import { RESULT_FIELDS } from "#lib/bench/expect/names.js";
import { BENCH_PATHS } from "#lib/bench/point.js";

/** As the parser makes them. */
function record<T>(members: { [Key in keyof T]: fc.Arbitrary<T[Key]> }): fc.Arbitrary<T> {
  return fc.record(members, { noNullPrototype: true });
}

const number = record({
  kind: fc.constant("number" as const),
  value: fc.oneof(fc.nat(), fc.double({ min: 0, max: 1e30, noNaN: true }).map(Math.abs)),
  unit: fc.constantFrom("", ...UNITS.keys()),
});

const name = record({
  kind: fc.constant("name" as const),
  path: fc.constantFrom(null, ...BENCH_PATHS),
  field: fc.oneof(
    fc.constantFrom(...RESULT_FIELDS),
    fc.constantFrom("lat_ns.p50", "read.lat_ns.p99.9", "write.lat_ns.p99.999", "lat_ns.p100"),
  ),
});

function binary(operators: Operator[], operand: fc.Arbitrary<Expression>) {
  return record({
    kind: fc.constant("binary" as const),
    operator: fc.constantFrom(...operators),
    left: operand,
    right: operand,
  });
}

const { value } = fc.letrec<{ value: Expression }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    number,
    name,
    record({ kind: fc.constant("negate" as const), operand: tie("value") }),
    record({
      kind: fc.constant("call" as const),
      function: fc.constantFrom(...FUNCTIONS.slice(1)),
      arguments: fc.array(tie("value"), { minLength: 2, maxLength: 4 }),
    }),
    record({
      kind: fc.constant("call" as const),
      function: fc.constant(FUNCTIONS[0]),
      arguments: fc.tuple(tie("value")),
    }),
    binary(["+", "-", "*", "/"], tie("value")),
  ),
}));

const comparison = binary(["==", "!=", "<", "<=", ">", ">="], value).filter(
  ({ left, right }) => ![left, right].some((side) => side.kind === "number" && side.unit === "%"),
);

const { truth } = fc.letrec<{ truth: Expression }>((tie) => ({
  truth: fc.oneof(
    { depthSize: "small" },
    comparison,
    record({ kind: fc.constant("not" as const), operand: tie("truth") }),
    binary(["and", "or"], tie("truth")),
  ),
}));

/** Every expression that can be written, of right types and with a name in it. */
export const arbitraryExpression: fc.Arbitrary<Expression> = truth.filter(
  (expression) => namesIn(expression).length > 0,
);
