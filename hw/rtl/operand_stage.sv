// Operand stage: gives each lane its pixel's word, or zeros.
//
// Contract
//   Lane l takes bank (rotate + l) mod PIX of bank_data, and zeros where mask[l] is set.  One register: act, act_valid,
//   act_first and act_last belong to the inputs of the cycle before.  A word set every cycle, no back-pressure.
//   Only act_valid is reset.
`default_nettype none

module operand_stage #(
    parameter int PIX = 3,
    parameter int CIN = 8
) (
    input wire logic clk,
    input wire logic rst,

    input wire logic [PIX-1:0][CIN*8-1:0] bank_data,
    input wire logic [2:0] rotate,  // below PIX
    input wire logic [PIX-1:0] mask,
    input wire logic valid,
    input wire logic first,
    input wire logic last,

    output logic [PIX-1:0][CIN*8-1:0] act,
    output logic act_valid,
    output logic act_first,
    output logic act_last
);
    if (PIX < 1 || PIX > 7) begin : bad_pix
        $error("operand_stage: PIX must be 1 to 7");
    end

    for (genvar l = 0; l < PIX; l++) begin : lanes
        logic [CIN*8-1:0] word;

        always_comb begin
            word = '0;
            for (int r = 0; r < PIX; r++) if (rotate == 3'(r)) word = bank_data[(r + l) % PIX];
        end

        always_ff @(posedge clk) act[l] <= mask[l] ? '0 : word;
    end

    always_ff @(posedge clk) begin
        act_valid <= valid && !rst;
        act_first <= first;
        act_last <= last;
    end
endmodule

`default_nettype wire
