/** A class as an application would write it; compiled by the test, because Node and Vite strip types and no decorators. */
import type { Experiments } from "../../src/exposure/experiments.ts";

export interface Cart {
  readonly user: string | undefined;
  readonly cents: number;
}

export const decorated = (experiments: Experiments) => {
  class Checkout {
    readonly #fee: number;

    constructor(fee: number) {
      this.#fee = fee;
    }

    @experiments.exposure<Checkout, [Cart], string>("checkout", {
      variants: { treatment: "payV2" },
      subject: (_, cart) => cart.user,
    })
    pay(cart: Cart): string {
      return `control ${cart.cents + this.#fee}`;
    }

    payV2(cart: Cart): string {
      return `treatment ${cart.cents + this.#fee}`;
    }

    @experiments.exposure<Checkout, [Cart], Promise<string>>("checkout", {
      variants: {
        treatment(cart) {
          return Promise.reject(new RangeError(`${cart.cents}`));
        },
      },
      subject: async (_, cart) => cart.user,
    })
    async later(cart: Cart): Promise<string> {
      return `control ${cart.cents + this.#fee}`;
    }

    @experiments.exposure<Checkout, [Cart], string>("checkout", {
      variants: { treatment: "payV2" },
      subject: () => {
        throw new Error("no session");
      },
    })
    anonymous(cart: Cart): string {
      return `control ${cart.cents + this.#fee}`;
    }
  }
  class Express extends Checkout {
    override payV2(cart: Cart): string {
      return `express ${cart.cents}`;
    }
  }
  return { Checkout, Express };
};
