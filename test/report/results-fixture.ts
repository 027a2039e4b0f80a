/** An answer of `GET /{name}/results`, as it would be saved: three days, two epochs, two metrics. */
export const savedResults = (names: { readonly experiment?: string; readonly treatment?: string } = {}) => {
  const { experiment = "checkout", treatment = "treatment" } = names;
  const sequential = {
    logBayesFactor: -2.1,
    pValue: 0.31,
    looks: 3,
    level: 0.000152,
    lookAt: "checkpoint",
    mismatch: false,
  };
  const arms = (sums: readonly [number, number]) => ({
    control: { subjects: 300, sum: sums[0], mean: sums[0] / 300, variance: 0.2 },
    [treatment]: { subjects: 310, sum: sums[1], mean: sums[1] / 310, variance: 0.2 },
  });
  return {
    experimentName: experiment,
    state: "Running",
    version: 2,
    digest: "0123456789abcdef".repeat(4),
    epoch: 2,
    received: 900,
    exposures: 650,
    outcomeEvents: 250,
    subjects: { control: 300, [treatment]: 310 },
    repeats: 40,
    crossovers: 1,
    sampleRatio: {
      epoch: 2,
      planned: { control: 0.5, [treatment]: 0.5 },
      subjects: { control: 300, [treatment]: 310 },
      chiSquare: { statistic: 0.16, degreesOfFreedom: 1, pValue: 0.69 },
      sequential,
      byEpoch: [
        { epoch: 1, sequential: { ...sequential, level: 0.000608 } },
        { epoch: 2, sequential },
      ],
    },
    sampleRatioSeries: [
      {
        epoch: 1,
        looks: [
          [29_400_000, 0.9],
          [29_400_060, 0.4],
        ],
      },
      {
        epoch: 2,
        looks: [
          [29_401_440, 1],
          [29_402_880, 0.31],
        ],
      },
    ],
    trustworthy: true,
    withheld: null,
    fixedHorizon: { status: "early", fraction: 0.305 },
    plan: {
      frozenAt: "2025-11-25T00:00:00.000Z",
      version: 1,
      digest: "fedcba9876543210".repeat(4),
      plan: { hypothesis: "One page sells more", alpha: 0.1, sample: 2_000 },
    },
    afterStart: { metrics: { spend: "changed" }, dimensions: {}, guardrails: {} },
    days: [
      { day: "2025-11-25", subjects: { control: 100, [treatment]: 90 } },
      { day: "2025-11-26", subjects: { control: 120, [treatment]: 130 } },
      { day: "2025-11-27", subjects: { control: 80, [treatment]: 90 } },
    ],
    outcomes: {
      spend: {
        kind: "continuous",
        primary: false,
        exploratory: true,
        afterStart: "changed",
        arms: arms([3_000, 3_400]),
        contrasts: [
          {
            variant: treatment,
            control: "control",
            difference: 0.97,
            statistic: 1.2,
            pValue: 0.23,
            interval: [-0.6, 2.5],
            degreesOfFreedom: 600.2,
            adjustedPValue: 0.23,
            relativeDifference: { value: 0.097, interval: [-0.06, 0.25] },
            sequential: {
              difference: 0.97,
              interval: null,
              pValue: null,
              reason: "an arm has fewer than 1000 subjects: too few for a sequence",
            },
            series: [
              { day: "2025-11-25", subjects: 190, difference: 0.5, interval: null },
              { day: "2025-11-26", subjects: 440, difference: 0.8, interval: null },
              { day: "2025-11-27", subjects: 610, difference: 0.97, interval: null },
            ],
          },
        ],
      },
      purchase: {
        kind: "binary",
        primary: true,
        exploratory: false,
        arms: arms([90, 120]),
        contrasts: [
          {
            variant: treatment,
            control: "control",
            difference: 0.0871,
            statistic: 2.26,
            pValue: 0.0237,
            interval: [0.0237, 0.1505],
            adjustedPValue: 0.0237,
            relativeDifference: { value: 0.29, interval: [0.05, 0.53] },
            sequential: { difference: 0.0871, interval: [-0.02, 0.194], pValue: 0.21 },
            series: [
              { day: "2025-11-25", subjects: 190, difference: null, interval: null },
              { day: "2025-11-26", subjects: 440, difference: 0.06, interval: [-0.09, 0.21] },
              { day: "2025-11-27", subjects: 610, difference: 0.0871, interval: [-0.02, 0.194] },
            ],
          },
        ],
      },
    },
    signals: [{ signalType: "CrossoverRate", severity: "Warning", message: "many crossed", data: {} }],
  };
};
