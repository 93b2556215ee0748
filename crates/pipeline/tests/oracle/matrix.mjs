// A matrix, expanded as the documentation says.
import { looselyEqual, toText } from "./plan.mjs";

const isObject = (value) => value !== null && typeof value === "object";

// Whether what a filter says holds of a value: leaf by leaf.
const holds = (filter, value) => {
  if (Array.isArray(filter)) return Array.isArray(value) && filter.length === value.length && filter.every((item, i) => holds(item, value[i]));
  if (isObject(filter)) return isObject(value) && Object.entries(filter).every(([key, inner]) => key in value && holds(inner, value[key]));
  return !isObject(value) && looselyEqual(filter, value);
};

/** The legs of a matrix, each {values, own}: `own` are the values that its name shows. One leg, null, without a matrix. */
export const matrixOf = (matrix) => {
  if (matrix === null) return [null];
  if (!isObject(matrix) || Array.isArray(matrix)) throw new Error("the matrix is no mapping");
  const { include = [], exclude = [], ...vectors } = matrix;
  const names = Object.keys(vectors);
  if (names.length === 0 && include.length === 0) throw new Error("Matrix must define at least one vector");
  let combinations = names.length > 0 ? [{}] : [];
  for (const name of names) {
    const vector = vectors[name];
    if (!Array.isArray(vector) || vector.length === 0) throw new Error(`Matrix vector '${name}' does not contain any values`);
    combinations = combinations.flatMap((one) => vector.map((value) => ({ ...one, [name]: value })));
  }
  combinations = combinations.filter((one) => !exclude.some((filter) => holds(filter, one)));
  const legs = combinations.map((own) => ({ own, values: { ...own } }));
  const added = [];
  for (const one of include) {
    const filter = Object.fromEntries(Object.entries(one).filter(([key]) => names.includes(key)));
    const matching = legs.filter(({ own }) => holds(filter, own));
    for (const { values, own } of matching) {
      for (const [key, value] of Object.entries(one)) if (!(key in own)) values[key] = value;
    }
    if (matching.length === 0) added.push({ own: one, values: { ...one } });
  }
  return [...legs, ...added];
};

const leaves = (value) => (isObject(value) ? Object.values(value).flatMap(leaves) : [toText(value)]);

/** What a leg adds to the name of its job. */
export const suffixOf = ({ own }) => {
  const texts = leaves(own).filter((text) => text !== "");
  return texts.length > 0 ? ` (${texts.join(", ")})` : "";
};
