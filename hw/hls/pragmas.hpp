// Every pragma of the engine goes through this header.
//
// Vitis HLS reads `_Pragma("HLS ...")`.  Other compilers would ignore the text; with SQUEEZE_NO_PRAGMAS
// (another HLS tool, a linter) there is none at all.
#pragma once

#ifdef SQUEEZE_NO_PRAGMAS
#define SQUEEZE_PRAGMA(text)
#else
#define SQUEEZE_PRAGMA(text) _Pragma(#text)
#endif

// One iteration starts every `ii` cycles.
#define HLS_PIPELINE(ii) SQUEEZE_PRAGMA(HLS PIPELINE II = ii)
// One call of a function that is not inlined starts every `ii` cycles.
#define HLS_PIPELINE_CALLS(ii) SQUEEZE_PRAGMA(HLS PIPELINE II = ii)
// All iterations become parallel hardware.
#define HLS_UNROLL SQUEEZE_PRAGMA(HLS UNROLL)
// The function's hardware becomes part of its caller's, so that one pipeline spans all of them.
#define HLS_INLINE SQUEEZE_PRAGMA(HLS INLINE)
// One hardware instance, which keeps its name, and in which pragmas of the function stay in force.
#define HLS_INLINE_OFF SQUEEZE_PRAGMA(HLS INLINE off)
// Sums are added in the order written: a chain, as DSP slices are wired, and no tree.
#define HLS_IN_ORDER SQUEEZE_PRAGMA(HLS EXPRESSION_BALANCE off)
// Dimension `dim` of an array becomes separate registers or memories (0: every element a register).
#define HLS_PARTITION(array, dimension) \
    SQUEEZE_PRAGMA(HLS ARRAY_PARTITION variable = array type = complete dim = dimension)
// Dimension `dim` of an array becomes one wide word, read and written at once.
#define HLS_RESHAPE(array, dimension) \
    SQUEEZE_PRAGMA(HLS ARRAY_RESHAPE variable = array type = complete dim = dimension)
// One read and one write port in the named kind of memory.
#define HLS_MEMORY(array, kind) SQUEEZE_PRAGMA(HLS BIND_STORAGE variable = array type = ram_s2p impl = kind)
// No iteration reads what an earlier one of the same loop wrote (the comment beside it says why).
#define HLS_INDEPENDENT(array) SQUEEZE_PRAGMA(HLS DEPENDENCE variable = array type = inter dependent = false)
// What an iteration writes is read `iterations` later at the earliest.
#define HLS_DISTANCE(array, iterations) \
    SQUEEZE_PRAGMA(HLS DEPENDENCE variable = array type = inter direction = RAW distance = iterations dependent = true)
