/** A straight line through what was measured, and how the cost grows. */

/**
 * @typedef {object} Fit
 * @property {number} base cost of none
 * @property {number} each cost of one more
 * @property {number} r2 1 where the line tells all
 * @property {number} exponent of the power law between the smallest and the largest: 1 grows in proportion, 0 not at all
 */

/**
 * Least squares.
 * @param {readonly number[]} sizes
 * @param {readonly number[]} costs
 * @returns {Fit}
 */
export function lineThrough(sizes, costs) {
  const mean = (/** @type {readonly number[]} */ values) =>
    values.reduce((sum, one) => sum + one, 0) / values.length;
  const [middle, height] = [mean(sizes), mean(costs)];
  let [along, across, whole] = [0, 0, 0];
  for (const [at, size] of sizes.entries()) {
    const cost = costs[at] ?? 0;
    along += (size - middle) ** 2;
    across += (size - middle) * (cost - height);
    whole += (cost - height) ** 2;
  }
  const each = across / along;
  const [first = 0, last = 0] = [costs[0], costs.at(-1)];
  return {
    base: height - each * middle,
    each,
    r2: whole === 0 ? 1 : across ** 2 / (along * whole),
    exponent: Math.log(last / first) / Math.log((sizes.at(-1) ?? 1) / (sizes[0] ?? 1)),
  };
}
