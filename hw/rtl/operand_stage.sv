// Operand stage: gives each lane its pixel's word, or zeros.
//
// Contract
//   Lane l takes bank (rotate + l) mod PIX of bank_data, and zeros where mask[l] is set.  act, act_valid, act_first and
//   act_last belong to the inputs of OPERAND_LATENCY cycles earlier.  A word set every cycle, no back-pressure.
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

    localparam int LATENCY = squeeze_pkg::OPERAND_LATENCY;
    logic [LATENCY-1:0] valids;
    logic [1:0] flags;

    for (genvar l = 0; l < PIX; l++) begin : lanes
        logic [CIN*8-1:0] word, chosen;

        always_comb begin
            word = '0;
            for (int r = 0; r < PIX; r++) if (rotate == 3'(r)) word = bank_data[(r + l) % PIX];
        end

        always_ff @(posedge clk) chosen <= mask[l] ? '0 : word;
        delay_line #(.STAGES(LATENCY - 1), .WIDTH(CIN * 8)) later (.clk, .in(chosen), .out(act[l]));
    end

    always_ff @(posedge clk) begin
        valids <= rst ? '0 : LATENCY'({valids, valid});
        flags <= {first, last};
    end
    assign act_valid = valids[LATENCY-1];
    delay_line #(.STAGES(LATENCY - 1), .WIDTH(2)) later_flags (.clk, .in(flags), .out({act_first, act_last}));
endmodule

`default_nettype wire
